"""Harm: a sick run is held against its healthy twin, by the measure of its family, and survivors are told apart."""

from __future__ import annotations

import math
from typing import Any

import pytest

from benchmarks.zoo.harm import Pair, compare, curves, harmed, needs_twin, outcome, read_pair, spoiled
from benchmarks.zoo.spec import Case, Harm

LEARNED = 2.0


def case(harm: Harm = "end", onset: int = 0) -> Case:
    return Case(family="f", seed=0, settings={}, text="docs", expected=("divergence",), harm=harm, onset=onset)


def run(bump: float = 0.0, end: float = 0.0, val: float = 0.0) -> list[dict[str, Any]]:
    """100 steps from 4 to 2 nats; `bump` lies on steps 50 to 55, `end` on the last tenth, `val` on the last evaluation."""
    events: list[dict[str, Any]] = [{"type": "metrics", "step": 0, "val/loss": 4.0}]
    for step in range(1, 101):
        loss = 4.0 - LEARNED * step / 100 + bump * (50 <= step <= 55) + end * (step > 90)
        events.append({"type": "metrics", "step": step, "train/loss": loss})
        if step % 50 == 0:
            events.append(
                {"type": "metrics", "step": step, "val/loss": 4.0 - LEARNED * step / 100 + val * (step == 100)}
            )
    return events


def is_harmed(events: list[dict[str, Any]], harm: Harm, onset: int = 0) -> bool:
    return harmed(case(harm, onset), compare(case(harm, onset), events, run()))


@pytest.mark.parametrize(("ill", "harms"), [
    ({}, set()),
    ({"end": 0.05}, set()),
    ({"end": 0.3}, {"end", "course"}),
    ({"val": 0.3}, {"end", "course"}),
    ({"bump": 0.3}, {"course"}),
    ({"end": -0.3}, {"low"}),
])  # fmt: skip
def test_each_measure_sees_its_own_harm(ill: dict[str, float], harms: set[Harm]) -> None:
    measures: tuple[Harm, ...] = ("end", "course", "low")
    assert {measure for measure in measures if is_harmed(run(**ill), measure)} == harms


def test_a_validation_loss_that_left_its_own_best_is_harm_whatever_the_twin_did() -> None:
    twin, own = run(val=2.0), run(val=2.0)
    assert harmed(case(), compare(case(), own, twin)) and not harmed(case("low"), compare(case("low"), own, twin))


def test_what_lay_above_the_twin_before_the_onset_does_not_count() -> None:
    assert is_harmed(run(bump=0.3), "course", onset=50) and not is_harmed(run(bump=0.3), "course", onset=60)


def test_a_loss_that_is_not_finite_and_an_injury_need_no_twin() -> None:
    nan = [*run(), {"type": "metrics", "step": 101, "train/loss": math.nan}]
    for measure, events in (("low", nan), ("injury", run())):
        ill = case(measure)  # type: ignore[arg-type]
        assert not needs_twin(ill, outcome(events)) and harmed(ill, compare(ill, events, None))
    assert needs_twin(case(), outcome(run()))


def test_an_outcome_is_of_the_curves_as_they_stood_at_the_end() -> None:
    events = [*run(), {"type": "rewind", "step": 95}, {"type": "metrics", "step": 96, "train/loss": 1.0}]
    train, val = curves(events)
    assert max(train) == 96 and train[96] == 1.0 and max(val) == 50
    ended = outcome(run(val=0.5))
    assert (ended.first, ended.best, ended.last) == (4.0, 2.5, 2.5) and ended.train == pytest.approx(2.09)


def test_a_healthy_run_that_went_bad_of_itself_is_seen() -> None:
    assert spoiled(outcome(run(val=2.0))) and not spoiled(outcome(run()))
    assert not spoiled(outcome([{"type": "metrics", "step": 1, "train/loss": 2.0}])), "no validation loss says nothing"


def test_a_pair_comes_back_from_the_manifest() -> None:
    for pair in (compare(case(), run(bump=0.5), run()), compare(case("injury"), run(), None)):
        back: Pair = read_pair(pair.to_mapping())
        assert back.to_mapping() == pair.to_mapping() and (back.twin is None) is (pair.twin is None)
