"""The engine: deterministic, indifferent to batches, honest about what it could not see, and never brought down by a rule."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diagnostics import RULES, Engine, OptionError, Severity
from diagnostics.roles import RoleError
from diagnostics.rule import Rule
from diagnostics.schedule import LookSchedule

values = st.one_of(st.floats(allow_nan=True, allow_infinity=True), st.floats(0.01, 12), st.just(0.0))


def feed(events: list[dict[str, Any]], ask_every: int = 0, config: dict[str, Any] | None = None) -> Engine:
    engine = Engine(config)
    for at, event in enumerate(events):
        engine.observe(event)
        if ask_every and at % ask_every == 0:
            engine.findings(), engine.coverage(), engine.verdict(), engine.series("train_loss")
    return engine


def story(seed: int, n: int) -> list[dict[str, Any]]:
    """A run to which everything happens: noise, a spike, a divergence, evaluations, NaN."""
    rng = np.random.default_rng(seed)
    loss = 2 + 8 * (1 + np.arange(n) / 20) ** -0.7 + rng.normal(0, 0.05, n)
    at = int(rng.integers(n // 3, n))
    loss[at : at + 12] += 4
    if seed % 2:
        loss[int(n * 0.8) :] += np.linspace(0, 6, n - int(n * 0.8))
    if seed % 3 == 0:
        loss[int(n * 0.9) :] = math.nan
    events = [
        {"type": "metrics", "step": step, "loss": float(loss[step]), "grad_norm": float(rng.lognormal())}
        for step in range(n)
    ]
    for step in range(0, n, 25):
        events[step]["eval_loss"] = float(loss[step] + 0.01 * step)
    return events


@settings(max_examples=15, deadline=None, derandomize=True)
@given(st.integers(0, 50), st.integers(100, 900), st.integers(1, 200))
def test_asking_changes_nothing(seed: int, n: int, ask_every: int) -> None:
    events = story(seed, n)
    once, often = feed(events), feed(events, ask_every)
    assert [f.to_mapping() for f in once.findings()] == [f.to_mapping() for f in often.findings()]
    assert once.coverage() == often.coverage()


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(st.dictionaries(st.sampled_from(["loss", "val_loss", "grad_norm", "lr", "x"]), values), max_size=120))
def test_no_numbers_whatever_break_a_rule(rows: list[dict[str, float]]) -> None:
    engine = feed([{"type": "metrics", **row} for row in rows], config={"vocab_size": 65, "max_steps": 100})
    assert engine.coverage().failed == {}
    json.dumps([finding.to_mapping() for finding in engine.findings()], allow_nan=False)
    for finding in engine.findings():
        assert finding.first_step <= finding.last_step
        assert finding.detected_step < len(rows)


def test_what_was_known_at_a_step_stays_known_at_that_step() -> None:
    events = story(3, 600)
    whole = {(f.rule, f.subject): f.detected_step for f in feed(events).findings()}
    assert whole, "the story has illnesses"
    for cut in range(50, 600, 50):
        part = {(f.rule, f.subject): f.detected_step for f in feed(events[:cut]).findings()}
        assert part == {key: step for key, step in whole.items() if step < cut}


def test_long_histories_stay_judged_and_cheap_to_keep() -> None:
    n = 30_000
    loss = 2 + 6 * (1 + np.arange(n) / 200) ** -0.5 + np.random.default_rng(0).normal(0, 0.05, n)
    loss[24_000:] += 4
    engine = feed([{"step": step, "loss": value} for step, value in enumerate(loss.tolist())])
    (divergence,) = (f for f in engine.findings() if f.rule == "divergence")
    spike = next(f for f in engine.findings() if f.rule == "loss-spike")
    assert divergence.severity is Severity.CRITICAL
    assert spike.detected_step - 24_000 <= 30, "urgent illnesses are not waited for until the next regular look"


def test_guards_back_off_while_an_illness_lasts() -> None:
    schedule = LookSchedule()
    schedule.loss_above = 5.0
    looks = sum(schedule.due(9.0, None, None) for _ in range(100_000))
    assert looks < 2_000


def test_the_schedule_looks_at_every_early_point_and_at_every_evaluation() -> None:
    schedule = LookSchedule()
    assert all(schedule.due(2.0, None, None) for _ in range(60))
    late = LookSchedule()
    looks = [late.due(2.0, 2.0 if at % 100 == 0 else None, None) for at in range(10_000)]
    assert all(looks[at] for at in range(0, 10_000, 100))
    assert sum(looks) < 700


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_non_finite_point_is_looked_at_at_once(bad: float) -> None:
    events: list[dict[str, Any]] = [{"step": step, "loss": 3.0 + 0.001 * (step % 7)} for step in range(5_000)]
    events[4_321]["loss"] = bad
    finding = next(f for f in feed(events).findings() if f.rule == "non-finite-loss")
    assert (finding.first_step, finding.detected_step) == (4_321, 4_321)


def test_non_finite_numbers_by_name_count_as_numbers() -> None:
    engine = feed([{"step": 0, "loss": 3.0}, {"step": 1, "loss": "Infinity"}, {"step": 2, "loss": "NaN"}])
    (finding,) = engine.findings()
    mapping = json.loads(json.dumps(finding.to_mapping(), allow_nan=False))
    assert mapping["rule"] == "non-finite-loss"
    assert mapping["evidence"][0]["observed"] == "Infinity"


def test_coverage_says_what_is_missing_and_what_to_log() -> None:
    coverage = feed([{"step": 0, "loss": 3.0}]).coverage()
    assert coverage.skipped["overfitting"] == "no validation loss: overfitting cannot be seen; log `val/loss`"
    assert "loss-spike" in coverage.ran
    assert {*coverage.ran, *coverage.skipped} == {rule.id for rule in RULES}
    assert set(Engine().coverage().skipped) == {rule.id for rule in RULES}


def test_one_broken_rule_never_hides_anothers_finding() -> None:
    def look(view: object) -> None:
        raise ZeroDivisionError("boom")

    broken = Rule(id="broken", needs=(), blind="", severity=Severity.INFO, look=look)
    engine = Engine(rules=(broken, *RULES))
    for step, value in enumerate([3.0, 2.9, math.nan]):
        engine.observe({"step": step, "loss": value})
    assert [finding.rule for finding in engine.findings()] == ["non-finite-loss"]
    assert engine.coverage().failed == {"broken": "ZeroDivisionError: boom"}
    assert "broken" not in engine.coverage().ran


def test_a_rewind_leaves_the_illness_behind() -> None:
    engine = feed([{"step": step, "loss": 4 / (1 + step / 20)} for step in range(100)])
    for step in range(100, 110):
        engine.observe({"step": step, "loss": math.nan})
    assert engine.verdict() == "critical"
    engine.observe({"type": "rewind", "step": 90})
    for step in range(91, 140):
        engine.observe({"step": step, "loss": 4 / (1 + step / 20)})
    assert engine.verdict() == "healthy"
    (finding,) = (f for f in engine.findings() if f.rule == "non-finite-loss")
    assert (finding.status, finding.severity) == ("resolved", Severity.INFO)


def test_config_may_come_as_events() -> None:
    losses = [8.52, 8.51, 8.49, 8.47, 8.45, 8.40]
    points = [{"step": s, "val_loss": v} for s, v in zip([1, 10, 100, 500, 1000, 5000], losses, strict=True)]
    for first in ({"type": "run", "config": {"vocab_size": 5000}}, {"type": "config", "vocab_size": 5000}):
        assert feed([first, *points]).verdict() == "warning"


def test_checkpoints_are_offered_to_resume_from() -> None:
    events: list[dict[str, Any]] = [{"step": step, "loss": 3.0 - 0.01 * step} for step in range(60)]
    events[40:40] = [{"type": "checkpoint", "step": 20}, {"type": "checkpoint", "step": 39}]
    events.append({"step": 60, "loss": math.nan})
    (finding,) = feed(events).findings()
    assert finding.remedies[0].checkpoint == 39


@pytest.mark.parametrize(("saved", "offered"), [((150, 250), 150), ((150, 250, 400), 400), ((250,), None)])
def test_an_illness_that_came_back_is_not_resumed_from_within_its_first_time(
    saved: tuple[int, ...], offered: int | None
) -> None:
    engine = Engine()
    for step in range(640):
        ill = 200 <= step < 300 or step >= 520
        loss = 2.0 + 2.0 * math.exp(-step / 60) + 0.01 * (step * 7 % 5)
        engine.observe({"step": step, "loss": loss, "grad_norm": (1.0 + 0.1 * (step * 3 % 4)) * (200 if ill else 1)})
        if step in saved:
            engine.observe({"type": "checkpoint", "step": step})
    (finding,) = (one for one in engine.findings() if one.rule == "exploding-gradients")
    assert (finding.status, finding.occurrences) == ("open", 2) and finding.first_step > 500
    assert [remedy.checkpoint for remedy in finding.remedies] == [offered, offered, None]


def test_one_name_feeds_a_role_and_the_user_decides() -> None:
    events = [{"step": s, "loss": math.nan, "my_loss": 3.0 - 0.05 * s} for s in range(20)]
    assert feed(events).verdict() == "critical"
    engine = Engine(roles={"loss": "", "my_loss": "train_loss"})
    for event in events:
        engine.observe(event)
    assert engine.verdict() == "healthy"
    assert engine.series("train_loss").name == "my_loss"  # type: ignore[union-attr]


def test_words_and_gaps_in_a_metric_are_passed_over() -> None:
    rows = [
        {"loss": None},
        {"loss": "n/a"},
        {"loss": True},
        {"loss": 3.0},
        {},
        {"step": "x", "loss": 2.5},
        {"type": "song", "loss": 1},
    ]
    engine = feed(rows)
    assert engine.series("train_loss").values.tolist() == [3.0, 2.5]  # type: ignore[union-attr]
    assert engine.series("val_loss") is None


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: Engine(options={"plateu": {}}), "no rule is called 'plateu'; rules are: non-finite-loss"),
        (lambda: Engine(options={"plateau": {"fal": 1}}), "plateau has no option 'fal'; it has: fall, share"),
        (lambda: Engine(options={"plateau": {"fall": math.nan}}), "plateau: fall = nan is not a number"),
    ],
)
def test_wrong_options_are_refused_in_one_sentence(make: Callable[[], Engine], sentence: str) -> None:
    with pytest.raises(OptionError, match=sentence):
        make()


def test_a_wrong_role_is_refused() -> None:
    with pytest.raises(RoleError, match="roles are:"):
        Engine(roles={"x": "loss"})


def test_options_reach_the_rule() -> None:
    events = [{"step": step, "grad_norm": norm} for step, norm in enumerate([5.0, 16.0, 50.0])]
    strict = Engine(options={"exploding-gradients": {"climb": 9}})
    for event in events:
        strict.observe(event)
    assert (feed(events).verdict(), strict.verdict()) == ("healthy", "warning")


@pytest.mark.parametrize("step", [10**400, -(10**30), math.nan, math.inf, None, "7", [], True])
def test_a_step_that_is_none_is_counted_on(step: object) -> None:
    engine = feed([{"step": 5, "loss": 3.0}, {"step": step, "loss": 2.9}, {"loss": 2.8}])
    assert engine.series("train_loss").steps.tolist()[:1] == [5]  # type: ignore[union-attr]
    assert engine.series("train_loss").size == 3  # type: ignore[union-attr]


def test_a_nan_beside_a_finite_evaluation_is_not_swallowed() -> None:
    rows = [{"step": step, "loss": 3.0, "val_loss": 3.0} for step in range(3)]
    engine = feed([*rows, {"step": 3, "loss": math.nan, "val_loss": 3.0}])
    assert engine.verdict() == "critical"
    first = feed([{"step": 0, "loss": math.nan, "val_loss": 3.0}])
    assert first.verdict() == "critical"
    assert first.coverage().failed == {}
