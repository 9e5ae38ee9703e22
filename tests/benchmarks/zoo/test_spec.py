"""The plan of the zoo: enough runs of enough kinds, all of them possible, in halves that nobody chose."""

from __future__ import annotations

from collections import Counter
from typing import get_args

import pytest

from benchmarks.zoo.feeds import FEEDS
from benchmarks.zoo.healthy import HEALTHY
from benchmarks.zoo.shapes import SHAPES
from benchmarks.zoo.sick import SICK
from benchmarks.zoo.spec import ENOUGH, Half, cases
from trainer.config import Fault, TrainConfig


@pytest.mark.parametrize("half", ["tune", "test", "earlier"])
def test_enough_sick_and_healthy_runs_are_planned(half: str) -> None:
    planned = cases(half)
    assert sum(case.sick for case in planned) >= 190, "150 must be left when the harmless are taken out"
    assert sum(not case.sick for case in planned) >= 200
    assert len({case.name for case in planned}) == len(planned)


def test_every_fault_of_the_trainer_has_a_family() -> None:
    used = {case.settings.get("fault", "none") for case in cases()}
    assert used == set(get_args(Fault))
    assert all(case.settings.get("fault", "none") == "none" for case in cases() if not case.sick)


def test_every_planned_run_has_settings_that_the_trainer_takes() -> None:
    for case in cases():
        if case.start != "modular":  # a network of its own
            config = TrainConfig(**dict(case.settings))
            assert case.onset == config.fault_step < config.max_steps
        assert case.shape in ("", *SHAPES) and case.feed in ("", *FEEDS)


def test_a_twin_is_the_same_run_without_its_illness() -> None:
    for case in filter(lambda case: case.sick, cases("tune")):
        twin = case.twin()
        assert not twin.sick and TrainConfig(**dict(twin.settings)).fault == "none"
        changed = {name for name, value in twin.settings.items() if case.settings.get(name) != value}
        lost = set(case.settings) - set(twin.settings)
        assert changed | lost and changed == set(case.cure) and lost <= {"fault", "fault_step"}
        assert twin.settings["seed"] == case.settings["seed"] and twin.text == case.text


def test_runs_as_long_as_real_ones_are_among_both() -> None:
    long = [case for case in cases("tune") if case.settings["max_steps"] >= 1000]
    assert sum(case.sick for case in long) >= 12 <= sum(not case.sick for case in long)


def test_hard_cases_that_must_stay_silent_are_as_many_as_those_that_must_speak() -> None:
    hard = [case for case in cases() if case.hard]
    assert sum(not case.sick for case in hard) >= sum(case.sick for case in hard) > 0


def test_the_plan_is_the_same_every_time_and_the_halves_are_the_same_families_under_other_seeds() -> None:
    halves = {half: cases(half) for half in get_args(Half)}
    assert halves["tune"] == cases("tune") and halves["tune"] + halves["test"] == cases()
    seeds = set[int]()
    for half, planned in halves.items():
        counts = Counter(case.family for case in planned)
        fewest = ENOUGH if half != "tune" else 0
        assert counts == {
            family: max(count, fewest) if family in SICK else count
            for family, (count, _recipe) in {**SICK, **HEALTHY}.items()
        }
        assert {case.half for case in planned} == {half}
        own = {case.settings["seed"] for case in planned}
        assert not own & seeds
        seeds |= own


def test_the_shapes_stay_between_their_floor_and_the_peak() -> None:
    for shape in SHAPES.values():
        values = [shape(step / 100) for step in range(1, 101)]
        assert max(values) <= 1.0 and max(values) > 0.95 and 1e-3 <= min(values) < 0.1
