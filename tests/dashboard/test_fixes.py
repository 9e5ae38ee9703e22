"""Remedies as settings: values, factors, bounds, the floor of the decay, checkpoints; and settings out of stored configs."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest

from dashboard.errors import Refused
from dashboard.fixes import Change, Plan, Saved, difference, plan, relaunchable, settings_of
from dashboard.records import Run, State
from trainer.config import TrainConfig
from trainer.presets import build


def _run(config: dict[str, Any] | None = None, **changes: Any) -> Run:
    """A run as the store has it after its worker described itself."""
    stored = build(changes).to_mapping() | {"actual_vocab_size": 65, "parameters": 1_300_000}
    return Run(id="parent", project="p", name="n", state=State.FINISHED, created_at=0.0, config=config or stored)


def _plan(run: Run, patch: dict[str, Any] | None, checkpoint: int | None = None, saved: Saved | None = None) -> Plan:
    remedy = {"sentence": "Do it.", "patch": patch, "checkpoint": checkpoint}
    return plan(run, remedy, saved or Saved())


def _changed(found: Plan) -> dict[str, tuple[Any, Any]]:
    return {change.name: (change.old, change.new) for change in found.changes}


# -- settings out of a stored config -----------------------------------------------------------------------------------


def test_what_the_worker_reported_is_no_setting() -> None:
    assert settings_of(_run()) == build({})


@pytest.mark.parametrize(
    ("tokenizer", "reported", "restored"), [("char", 65, 8192), ("byte", 256, 8192), ("bpe", 300, 300)]
)
def test_the_vocabulary_of_characters_and_bytes_is_the_presets_again(
    tokenizer: str, reported: int, restored: int
) -> None:
    config = build({"preset": "small", "tokenizer": tokenizer}).to_mapping() | {"vocab_size": reported}
    assert settings_of(_run(config)).vocab_size == restored


def test_settings_that_are_younger_than_the_run_have_their_defaults() -> None:
    config = {key: value for key, value in build({}).to_mapping().items() if key != "top_p"}
    assert settings_of(_run(config)).top_p == 1.0


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, "NaN", [], {"a": 1}, None, True, 1e9])
def test_a_config_that_the_trainer_does_not_take_is_refused_in_one_sentence(value: Any) -> None:
    run = _run(build({}).to_mapping() | {"learning_rate": value})
    with pytest.raises(Refused, match=r"run 'parent' cannot be relaunched with its settings: learning_rate = "):
        settings_of(run)
    assert not relaunchable(run)


def test_a_run_of_another_trainer_is_not_relaunched() -> None:
    run = _run({"learning_rate": 0.1, "preset": "mine"})
    assert not relaunchable(run) and relaunchable(_run())
    with pytest.raises(Refused, match="not made by Runwell's trainer"):
        plan(run, None, Saved())


def test_settings_of_a_preset_that_no_longer_exists_are_still_settings() -> None:
    config = build({"tokenizer": "char"}).to_mapping() | {"preset": "gone", "vocab_size": 70}
    assert settings_of(_run(config)).preset == "gone"


# -- patches -----------------------------------------------------------------------------------------------------------


def test_a_value_takes_the_place_of_the_old_one() -> None:
    found = _plan(_run(), {"dropout": 0.1, "grad_clip": 0.5})
    assert _changed(found) == {"dropout": (0.0, 0.1), "grad_clip": (1.0, 0.5)}
    assert found.notes == ()


@pytest.mark.parametrize(
    ("rate", "factor", "new"),
    [(1.0, "×0.1", 0.1), (3e-4, "×0.1", 3e-5), (1e-3, "×0.3", 3e-4), (0.0123456, "×0.5", 0.00617), (50.0, "×10", 100.0), (2e-9, "×0.1", 1e-9)],
)  # fmt: skip
def test_a_factor_multiplies_rounds_and_stays_within_bounds(rate: float, factor: str, new: float) -> None:
    found = _plan(_run(learning_rate=rate, min_learning_rate=0.0), {"learning_rate": factor})
    assert found.config.learning_rate == new


def test_a_factor_on_a_whole_number_gives_a_whole_number() -> None:
    found = _plan(_run(max_steps=75, warmup_steps=3), {"max_steps": "×0.5", "warmup_steps": "×2"})
    assert (found.config.max_steps, found.config.warmup_steps) == (38, 6)
    assert isinstance(found.config.max_steps, int) and isinstance(found.config.warmup_steps, int)
    assert _plan(_run(max_steps=1), {"max_steps": "×0.1"}).config.max_steps == 1


@pytest.mark.parametrize(
    ("rate", "floor", "new_floor"),
    [(1.0, 0.5, 0.05), (1e-3, 1e-4, 1e-5), (1e-3, 1e-3, 1e-4), (1e-3, 1e-6, 1e-6), (1e-3, 0.0, 0.0)],
)
def test_the_floor_stays_below_the_peak_and_the_decay_a_decay(rate: float, floor: float, new_floor: float) -> None:
    config = _plan(_run(learning_rate=rate, min_learning_rate=floor), {"learning_rate": "×0.1"}).config
    assert config.min_learning_rate == new_floor <= config.learning_rate


def test_a_higher_peak_leaves_the_floor_alone() -> None:
    assert "min_learning_rate" not in _changed(_plan(_run(), {"learning_rate": "×10"}))


@pytest.mark.parametrize(
    ("patch", "said"),
    [
        ({"logging_nan_inf_filter": 0}, "logging_nan_inf_filter' is not a setting of this trainer"),
        ({"grad_clip": 1.0}, "grad_clip is 1 already."), ({"warmup_steps": 100}, "warmup_steps is 100 already."),
        ({"grad_clip": "NaN"}, "The remedy's grad_clip is left out"), ({"grad_clip": -1}, "it takes a number from 0 to 1e+06."),
        ({"precision": "×2"}, "precision is not a number"), ({"learning_rate": "×nan"}, "left out"), ({"learning_rate": "×fast"}, "left out"),
    ],
)  # fmt: skip
def test_what_cannot_be_applied_is_left_out_and_said(patch: dict[str, Any], said: str) -> None:
    found = _plan(_run(), patch)
    assert found.changes == ()
    assert len(found.notes) == 1 and said in found.notes[0] and "--" not in found.notes[0]


def test_a_patch_that_contradicts_the_other_settings_is_refused() -> None:
    with pytest.raises(Refused, match="does not fit the settings of this run: min_learning_rate"):
        _plan(_run(), {"min_learning_rate": 1.0})


def test_without_a_remedy_nothing_differs() -> None:
    found = plan(_run(learning_rate=0.5), None, Saved((100,), 100))
    assert found.config.learning_rate == 0.5 and found.changes == () and found.notes == ()


def test_a_fault_is_kept_and_said() -> None:
    found = _plan(_run(fault="log-zero"), {"learning_rate": "×0.1"})
    assert found.config.fault == "log-zero" and "fault = log-zero is kept" in found.notes[0]


# -- checkpoints -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("saved", "resume", "said"),
    [
        (Saved((100, 200), 100), "parent:200", "resumes from the checkpoint of step 200"),
        (Saved((100, 300), 100), "parent:best", "not kept any more: it resumes from the best, of step 100"),
        (Saved((100, 300), 300), "", "not kept any more: it starts anew"),
        (Saved(), "", "not kept any more: it starts anew"),
    ],
)
def test_a_checkpoint_is_named_when_it_exists(saved: Saved, resume: str, said: str) -> None:
    found = _plan(_run(), {"learning_rate": "×0.1"}, 200, saved)
    assert found.config.resume == resume and said in found.notes[-1]


def test_a_checkpoint_at_or_after_the_end_is_left_out() -> None:
    found = _plan(_run(max_steps=400), {"max_steps": "×0.5"}, 200, Saved((200,)))
    assert found.config.resume == "" and "max_steps = 200 leaves nothing to train" in found.notes[0]


def test_a_checkpoint_of_another_shape_is_left_out() -> None:
    found = _plan(_run(), {"n_layer": 8}, 200, Saved((200,)))
    assert found.config.resume == "" and "does not fit another n_layer" in found.notes[0]


def test_a_remedy_without_a_checkpoint_keeps_what_the_parent_resumed_from() -> None:
    assert _plan(_run(resume="grand:best"), {"dropout": 0.1}).config.resume == "grand:best"


def test_the_difference_is_in_the_order_of_the_settings() -> None:
    old = build({})
    new = dataclasses.replace(old, seed=1, learning_rate=0.5)
    assert difference(old, new) == (Change("learning_rate", 1e-3, 0.5), Change("seed", 1337, 1))
    assert difference(old, TrainConfig.from_mapping(old.to_mapping())) == ()


# -- the name ----------------------------------------------------------------------------------------------------------


def test_the_name_says_the_fix_and_is_no_change_of_the_settings() -> None:
    found = _plan(_run(name="wide"), {"learning_rate": "×0.1"})
    assert found.config.name == "wide (fix: learning_rate × 0.1)"
    assert set(_changed(found)) == {"learning_rate", "min_learning_rate"}


def test_a_second_fix_takes_the_place_of_the_first_in_the_name() -> None:
    run = _run(name="wide (fix: learning_rate × 0.1)")
    assert _plan(run, {"dropout": 0.1}).config.name == "wide (fix: dropout = 0.1)"


def test_the_name_tells_a_checkpoint_and_leaves_out_what_changes_nothing() -> None:
    found = _plan(_run(name="wide"), {"early_stopping_patience": 3, "grad_clip": 1.0}, 700, Saved((700,)))
    assert found.config.name == "wide (fix: early_stopping_patience = 3, from step 700)"
    assert _plan(_run(name="wide"), {"grad_clip": 1.0}).config.name == "wide"
    assert plan(_run(name="wide"), None, Saved()).config.name == "wide"


@pytest.mark.parametrize(
    ("name", "expected"),
    [("", "n (fix: dropout = 0.1)"), ("x" * 70, "x" * 70), ("x" * 55, "x" * 55 + " (fix: dropout = 0.1 ...)")],
)
def test_the_name_is_one_that_the_trainer_takes(name: str, expected: str) -> None:
    assert _plan(_run(name=name), {"dropout": 0.1, "weight_decay": 0.05}).config.name.startswith(expected[:-1])
