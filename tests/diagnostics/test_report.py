"""What people read: curves that fit a terminal, numbers that mean something, nothing that steers it."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest

from diagnostics import Engine, say
from diagnostics.report import BARS, CURVE_WIDTH, as_markdown, as_text, make_report, sparkline


def report(events: list[dict[str, Any]]) -> Any:
    engine = Engine()
    for event in events:
        engine.observe(event)
    return make_report("run.jsonl", engine)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (math.nan, "NaN"), (math.inf, "Inf"), (-math.inf, "-Inf"), (0.0, "0"), (2.4567, "2.46"), (123.4, "123.4"),
        (1e-6, "1.00e-06"), (1e9, "1.00e+09"), (9999.4, "9999"), (9999.6, "10,000"), (20_193.4, "20,193"), (-250_000.0, "-250,000"),
    ],
)  # fmt: skip
def test_numbers(value: float, text: str) -> None:
    assert say.number(value) == text


@pytest.mark.parametrize(("share", "text"), [(0.034, "3.4 %"), (0.5, "50 %"), (0.0, "0 %"), (0.0996, "10 %")])
def test_percents(share: float, text: str) -> None:
    assert say.percent(share) == text


@pytest.mark.parametrize("n", [0, 1, 2, 47, 48, 49, 5000])
def test_a_curve_fits_the_terminal_and_goes_from_top_to_bottom(n: int) -> None:
    line = sparkline(np.linspace(5, 1, n))
    assert len(line) == min(n, CURVE_WIDTH)
    if n > 1:
        assert (line[0], line[-1]) == ("█", "▁")


def test_a_constant_curve_is_flat() -> None:
    assert set(sparkline(np.full(30, 2.0))) == {"▁"}


def test_a_run_of_nothing_but_nan_is_said_to_be_so() -> None:
    text = as_text(report([{"step": step, "loss": math.nan} for step in range(5)]))
    assert "no finite value" in text
    assert "critical" in text


def test_every_severity_has_a_sign_beside_its_colour() -> None:
    text = as_text(report([{"step": 0, "loss": 3.0}, {"step": 1, "loss": math.nan}]), colour=True)
    assert "✖ critical" in text
    assert "\x1b[31;1m" in text
    assert "\x1b" not in as_text(report([{"step": 0, "loss": math.nan}]))


@pytest.mark.parametrize("width", [60, 80, 200])
def test_every_line_fits_the_terminal_and_no_word_is_lost(width: int) -> None:
    rows = [{"step": step, "loss": 3 - step / 100, "eval_loss": 3.0, "x": 1} for step in range(60)]
    made = report([*rows, {"step": 60, "loss": math.nan}])
    plain, wrapped = as_text(made), as_text(made, width=width)
    assert max(map(len, wrapped.splitlines())) <= width
    assert width > 80 or max(map(len, plain.splitlines())) > width
    words = [word for word in plain.split() if not set(word) & set(BARS)]
    assert [word for word in wrapped.split() if not set(word) & set(BARS)] == words
    (curve,) = (line for line in wrapped.splitlines() if line.startswith("      train "))
    assert width < 80 or len(curve) >= 75, "the curve takes the room that there is, up to a bar a point"
    assert as_text(made, width=width, colour=True).count("\x1b[31;1m") == 2


def test_rules_that_lack_the_same_are_told_together() -> None:
    lines = [line for line in as_text(report([{"step": 0, "loss": 3.0}])).splitlines() if "not judged" in line]
    assert "  not judged: garbage-output, repetitive-output, memorized-output (no text samples; log `run.sample(prompt, text, step)`)" in lines  # fmt: skip
    assert "  not judged: overfitting, underfitting (no validation loss; log `val/loss`)" in lines
    norms = "non-finite-gradient, gradient-clip-saturation, exploding-gradients, vanishing-gradients"
    assert (
        f"  not judged: {norms} (no gradient norm; log `train/grad_norm`)" in lines
    )  # a loss scale would do for the first
    assert len(lines) < 12
    alone = (
        "update-ratio (no update ratio: how far each step moves the weights cannot be seen; log `train/update_ratio`)"
    )
    assert f"  not judged: {alone}" in lines
    assert f"- {alone}" in as_markdown(report([{"step": 0, "loss": 3.0}]))


def test_a_verdict_without_a_loss_is_no_all_clear() -> None:
    made = report([{"step": 0, "lr": 1e-3}])
    assert as_text(made).startswith("run.jsonl: healthy, but no loss was read\n")
    assert as_markdown(made).startswith("## `run.jsonl`: healthy, but no loss was read\n")
    assert as_text(report([{"step": 0, "val_ppl": 9.0}])).startswith("run.jsonl: healthy\n")


def test_names_with_control_characters_are_defused() -> None:
    engine = Engine(roles={"lo\x1b[2Jss": "train_loss"})
    for value in (3.0, math.nan):
        engine.observe({"lo\x1b[2Jss": value})
    made = make_report("x\x07y", engine)
    assert "\x1b" not in as_text(made) + as_markdown(made)
    assert "\x07" not in as_text(made)


def test_the_mapping_is_strict_json() -> None:
    mapping = report([{"step": 0, "loss": 3.0}, {"step": 1, "loss": -math.inf}]).to_mapping()
    again = json.loads(json.dumps(mapping, allow_nan=False))
    assert again["verdict"] == "critical"
    assert again["findings"][0]["evidence"][0]["observed"] == "-Infinity"
