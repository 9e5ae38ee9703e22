"""The rules on data: what a run says of its text, held against its curves; ordinary text stays silent."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from diagnostics import Engine
from diagnostics.data import read_data

RULES = ("train-val-overlap", "duplicate-data", "poor-data")
PLAIN: dict[str, Any] = {
    "documents": 5080, "characters": 2.2e6, "empty": 0, "short": 0, "duplicates": 0, "near_duplicates": 35, "unreadable": 0.0,
    "train_tokens": 1.98e6, "val_tokens": 2.2e5, "planned_tokens": 8e6, "parameters": 1.3e6, "distinct": 0.94, "repeated": 0.11,
    "most_places": 28, "overlap": 0.027,
}  # fmt: skip


def told(run: Any, climbs: bool = False, **changes: Any) -> list[dict[str, Any]]:
    """A run that tells its data, falls, and whose validation loss turns and climbs if told so."""
    steps = np.arange(200)
    validation = 3.2 - steps / 200 + (0.01 * np.maximum(0, steps - 100) if climbs else 0)
    rows = run(train_loss=3 - steps / 150)
    for row in rows[::10]:
        row["val/loss"] = float(validation[row["step"]])
    return [{"type": "data", "step": 0, **PLAIN, **changes}, *rows]


def loudest(findings: Any, events: list[dict[str, Any]], rule: str, **config: Any) -> str:
    found = [finding for finding in findings(events, config) if finding.rule == rule]
    assert len(found) <= 1
    return str(found[0].severity) if found else "silent"


@pytest.mark.parametrize(
    ("rule", "changes", "severity"),
    [
        ("train-val-overlap", {"overlap": 0.98}, "warning"),
        ("train-val-overlap", {"overlap": 0.2}, "warning"),
        ("train-val-overlap", {"overlap": 0.08}, "info"),
        ("duplicate-data", {"distinct": 0.1, "repeated": 1.0}, "warning"),
        ("duplicate-data", {"distinct": 0.4, "repeated": 0.9}, "info"),
        ("duplicate-data", {"duplicates": 300}, "info"),
        ("duplicate-data", {"near_duplicates": 900}, "info"),
        ("duplicate-data", {"most_places": 500, "most_text": "All rights reserved."}, "info"),
        ("poor-data", {"unreadable": 0.08}, "warning"),
        ("poor-data", {"unreadable": 0.02}, "info"),
        ("poor-data", {"empty": 100}, "info"),
        ("poor-data", {"short": 2000}, "info"),
        ("poor-data", {"train_tokens": 40_000}, "info"),
        ("poor-data", {"train_tokens": 400_000, "distinct": 0.1}, "info"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_data_is_told(
    findings: Any, run: Any, rule: str, changes: dict[str, Any], severity: str
) -> None:
    assert loudest(findings, told(run, **changes), rule) == severity


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"overlap": 0.049, "repeated": 0.3, "distinct": 0.8},
        {"documents": 1, "near_duplicates": 0},
        {"english": 0.0, "distinct": 1.0, "overlap": 0.0},
        {"duplicates": 200, "most_places": 60},
        {"empty": 40, "short": 480, "unreadable": 0.005},
        {"train_tokens": 300_000, "planned_tokens": 3e6},
        {"train_tokens": 1.5e6, "planned_tokens": 1e8},
        {"overlap": None, "distinct": None, "train_tokens": None, "documents": None},
        {"overlap": "NaN", "distinct": "NaN", "train_tokens": "Infinity", "documents": -1, "unreadable": "much"},
        {"train_tokens": 0, "distinct": 0.9, "documents": 0, "duplicates": 5},
    ],
)  # fmt: skip
def test_ordinary_text_is_silent(assert_silent: Any, run: Any, changes: dict[str, Any]) -> None:
    assert_silent(told(run, **changes), *RULES)


def test_harm_that_is_seen_makes_copies_a_warning_and_says_so(findings: Any, run: Any) -> None:
    events = told(run, climbs=True, distinct=0.4, repeated=0.9, most_places=7, most_text="the same   passage")
    found = {finding.rule: finding for finding in findings(events)}
    assert next(iter(found)) == "overfitting", "what to act on first is the illness; the data say where it comes from"
    copies = found["duplicate-data"]
    assert (copies.severity, copies.status, copies.because) == ("warning", "open", None)
    assert "at 7 places: “the same passage”. The validation loss stands above its best" in copies.evidence[0].sentence


def test_samples_that_copy_make_copies_a_warning(findings: Any, run: Any) -> None:
    events = told(run, distinct=0.4)
    sample = {"type": "sample", "step": 150, "prompt": "", "text": "a copy", "verbatim_tokens": 90}
    assert loudest(findings, [*events[:160], sample, *events[160:]], "duplicate-data") == "warning"


@pytest.mark.parametrize(("tokens", "severity"), [(20_000, "warning"), (300_000, "info")])
def test_a_text_that_the_model_can_hold_is_a_warning_once_it_does(findings: Any, run: Any, tokens: int, severity: str) -> None:  # fmt: skip
    events = told(run, climbs=True, train_tokens=tokens, distinct=1.0)
    assert loudest(findings, events, "poor-data", max_steps=200) == severity
    assert loudest(findings, told(run, train_tokens=tokens, distinct=1.0), "poor-data", max_steps=200) == "info"


def test_a_validation_loss_below_the_training_loss_supports_the_overlap(findings: Any, run: Any) -> None:
    events = told(run, overlap=0.9)
    for event in events:
        if "val/loss" in event:
            event["val/loss"] = event["train_loss"] - 0.02
    (found,) = (finding for finding in findings(events) if finding.rule == "train-val-overlap")
    assert "is no higher than the training loss" in found.evidence[0].sentence
    (told_early,) = (finding for finding in findings(events[:1]) if finding.rule == "train-val-overlap")
    assert told_early.detected_step == found.detected_step == 0, "known before the first step"


def test_copies_explain_the_overlap_that_comes_of_them(findings: Any, run: Any) -> None:
    found = {finding.rule: finding for finding in findings(told(run, overlap=0.9, distinct=0.1, repeated=1.0))}
    assert found["train-val-overlap"].because is not None
    assert found["train-val-overlap"].causes[0].cause == "copies on both sides of the split"


def test_a_later_word_takes_the_place_of_the_earlier_one(findings: Any, run: Any) -> None:
    events = told(run, overlap=0.9)
    mended = {"type": "data", "step": 100, **PLAIN}
    (found,) = (f for f in findings([*events[:101], mended, *events[101:]]) if f.rule == "train-val-overlap")
    assert (found.status, str(found.severity)) == ("resolved", "info")


def test_coverage_says_that_nothing_is_known(run: Any) -> None:
    engine = Engine()
    for event in run(train_loss=[3.0, 2.9]):
        engine.observe(event)
    assert all(engine.coverage().skipped[rule].startswith("nothing is known of the data: ") for rule in RULES)


def test_numbers_that_make_no_sense_are_left_out() -> None:
    facts = read_data({"overlap": -0.5, "distinct": float("nan"), "documents": 7, "most_text": 5, "step": 3}, 12, lambda value: value)  # type: ignore[arg-type,return-value]  # fmt: skip
    assert (facts.overlap, facts.distinct, facts.documents, facts.most_text, facts.step) == (None, None, 7, "", 12)
    assert facts.passes is None and facts.different_tokens is None
