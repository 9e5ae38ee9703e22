"""The plan of the zoo: enough runs of enough kinds, all of them possible, in halves that nobody chose."""

from __future__ import annotations

from typing import get_args

from benchmarks.zoo.shapes import SHAPES
from benchmarks.zoo.spec import Case, cases
from trainer.config import Fault, TrainConfig


def test_enough_sick_and_healthy_runs_are_planned() -> None:
    planned = cases()
    assert sum(case.sick for case in planned) >= 150
    assert sum(not case.sick for case in planned) >= 200
    assert len({case.name for case in planned}) == len(planned)


def test_every_fault_of_the_trainer_has_a_family() -> None:
    used = {case.settings.get("fault", "none") for case in cases()}
    assert used == set(get_args(Fault))
    assert all(case.settings.get("fault", "none") == "none" for case in cases() if not case.sick)


def test_every_planned_run_has_settings_that_the_trainer_takes() -> None:
    for case in cases():
        config = TrainConfig(**dict(case.settings))
        assert case.onset == config.fault_step < config.max_steps
        assert case.shape in ("", *SHAPES)


def test_hard_cases_that_must_stay_silent_are_as_many_as_those_that_must_speak() -> None:
    hard = [case for case in cases() if case.hard]
    assert sum(not case.sick for case in hard) >= sum(case.sick for case in hard) > 0


def test_the_plan_is_the_same_every_time_and_both_halves_have_their_share() -> None:
    first, second = cases(), cases()
    assert first == second
    for sick in (True, False):
        halves = [case.half for case in first if case.sick is sick]
        assert 0.4 < halves.count("test") / len(halves) < 0.6


def test_the_half_hangs_on_seed_and_settings() -> None:
    halves = {Case(family="a", seed=seed, settings={"seed": 1}, text="docs").half for seed in range(20)}
    assert halves == {"tune", "test"}
    assert {Case(family="a", seed=1, settings={"seed": n}, text="docs").half for n in range(20)} == {"tune", "test"}


def test_the_shapes_stay_between_their_floor_and_the_peak() -> None:
    for shape in SHAPES.values():
        values = [shape(step / 100) for step in range(1, 101)]
        assert max(values) <= 1.0 and max(values) > 0.95 and 1e-3 <= min(values) < 0.1
