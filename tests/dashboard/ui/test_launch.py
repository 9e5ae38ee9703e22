"""The launch form: every setting once, errors at their field, sizes that are right, checks that speak and stay silent."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import dash
import pytest
import torch

from dashboard.ui import estimates, launch_form
from dashboard.ui.pages import launch
from trainer.config import TrainConfig, settings
from trainer.model import GPT, Shape
from trainer.presets import PRESETS, build
from trainer.schedule import learning_rate

NAMES = [setting.name for setting in settings() if setting.name != "preset"]


def _values(**changes: Any) -> list[Any]:
    config = build({"preset": "minimal"}).to_mapping() | changes
    return [
        launch_form.as_typed(config[name]) if isinstance(config[name], (int, float)) else config[name] for name in NAMES
    ]


def test_every_setting_has_exactly_one_field() -> None:
    groups = [name for _, _, names in launch_form.GROUPS for name in names]
    assert sorted([*launch_form.ESSENTIALS, *groups]) == sorted(NAMES)


def test_a_field_shows_meaning_bounds_and_choices() -> None:
    known = {setting.name: setting for setting in settings()}
    rate, fault = launch_form.field(known["learning_rate"], 1e-3), launch_form.field(known["fault"], "none")
    assert rate.description == "Peak learning rate."
    assert rate.placeholder == "a number from 1e-09 to 100"
    assert [item["value"] for item in fault.data] == list(known["fault"].choices)
    assert fault.data[0]["label"] == "none: a healthy run", "a fault says what it does"
    tokenizer = launch_form.field(known["tokenizer"], "bpe")
    assert tokenizer.data[0] == {"value": "char", "label": "char"}


def test_the_presets_come_through_the_form_unchanged() -> None:
    for preset in PRESETS:
        written = launch.filled(preset.name, NAMES)
        values = [old if new is dash.no_update else new for old, new in zip(_values(), written, strict=True)]
        assert launch_form.read(NAMES, values, preset.name) == build({"preset": preset.name})


def test_a_change_of_preset_keeps_what_it_is_about() -> None:
    written = dict(zip(NAMES, launch.filled("small", NAMES), strict=True))
    assert written["name"] is written["dataset"] is dash.no_update
    assert written["max_steps"] == "5000"


@pytest.mark.parametrize(
    ("changes", "field", "said"),
    [
        ({"n_embd": 130}, "n_embd", "not divisible by n_head"),
        ({"learning_rate": "fast"}, "learning_rate", "'fast' is not allowed; it takes a number from 1e-09 to 100"),
        ({"learning_rate": "nan"}, "learning_rate", "not allowed"),
        ({"max_steps": ""}, "max_steps", "a whole number from 1"),
        ({"dropout": "0.95"}, "dropout", "from 0 to 0.9"),
        ({"dataset": "../secret"}, "dataset", "not allowed"),
    ],
)
def test_an_error_stands_at_its_field_in_one_sentence(changes: dict[str, Any], field: str, said: str) -> None:
    values = dict(zip(NAMES, _values(), strict=True)) | changes
    wrong = launch_form.errors(NAMES, [str(values[name]) for name in NAMES], "minimal")
    assert list(wrong) == [field]
    assert said in wrong[field] and "--" not in wrong[field] and "\n" not in wrong[field]


def test_all_wrong_fields_are_said_at_once() -> None:
    values = dict(zip(NAMES, _values(), strict=True)) | {"n_layer": "0", "top_p": "2"}
    assert set(launch_form.errors(NAMES, list(values.values()), "minimal")) == {"n_layer", "top_p"}


@pytest.mark.parametrize("preset", [preset.name for preset in PRESETS])
def test_parameters_are_those_of_the_model(preset: str) -> None:
    config = build({"preset": preset})
    vocabulary = 777
    with torch.device("meta"):
        built = GPT(Shape.of(config, vocabulary))
    assert estimates.parameters(config, vocabulary) == built.parameter_count()


def test_sizes_of_a_run() -> None:
    config = build({"preset": "minimal", "tokenizer": "byte", "validation_fraction": 0.5})
    sizes = estimates.estimate(config, 1_000_000)
    assert sizes.tokens_per_step == 16 * 128
    assert sizes.training_tokens == 500_000
    assert sizes.epochs == pytest.approx(2048 * 2000 / 500_000)
    assert sizes.uniform_loss == pytest.approx(math.log(256))
    assert sizes.state_bytes == 16 * sizes.parameters
    assert estimates.estimate(config, None).epochs is None


def _levels(config: TrainConfig, data: int | None = 5_000_000, error: str | None = None) -> dict[str, str]:
    return {check.name: check.level for check in estimates.checks(config, data, error)}


def test_the_presets_pass_every_check() -> None:
    for preset in PRESETS:
        levels = _levels(build({"preset": preset.name}), 300_000_000)
        assert set(levels.values()) == {"good"}, (preset.name, levels)


@pytest.mark.parametrize(
    ("changes", "name", "level"),
    [
        ({"learning_rate": 1.0}, "Learning rate", "critical"),
        ({"learning_rate": 0.05}, "Learning rate", "warning"),
        ({"learning_rate": 1e-6, "min_learning_rate": 0.0}, "Learning rate", "warning"),
        ({"warmup_steps": 2000}, "Warm-up", "critical"),
        ({"warmup_steps": 0}, "Warm-up", "warning"),
        ({"warmup_steps": 1500}, "Warm-up", "warning"),
        ({"grad_clip": 0.0}, "Clipping", "warning"),
        ({"eval_interval": 5000}, "Evaluation", "warning"),
        ({"eval_interval": 900}, "Evaluation", "warning"),
        ({"data_limit_characters": 20_000}, "Data", "warning"),
        ({"data_limit_characters": 500}, "Data", "critical"),
        ({"max_steps": 2_000_000}, "Epochs", "warning"),
        ({"n_layer": 96, "n_embd": 8192, "n_head": 64, "n_ff": 32768}, "Memory", "warning"),
    ],
)
def test_a_check_speaks(changes: dict[str, Any], name: str, level: str) -> None:
    config = dataclasses.replace(build({"preset": "minimal"}), **changes)
    assert _levels(config)[name] == level


def test_one_evaluation_is_one() -> None:
    one = estimates.checks(TrainConfig(max_steps=160, eval_interval=100), 10**6, None)
    assert "Only 1 evaluation in the whole run: overfitting is seen late." in [check.says for check in one]


def test_a_missing_data_set_comes_first() -> None:
    found = estimates.checks(build({}), None, "dataset = 'x' is not in the data folder")
    assert (found[0].level, found[0].says) == ("critical", "dataset = 'x' is not in the data folder")


def test_the_drawn_schedule_is_the_workers(site: Any) -> None:
    config = build({"preset": "minimal"})
    trace = launch.schedule_figure(config)["data"][0]
    assert trace["y"] == [learning_rate(config, step) for step in trace["x"]]
    assert max(trace["y"]) == pytest.approx(config.learning_rate, rel=0.02)


def test_data_sets_of_the_folder_are_offered_and_missing_ones_explained(site: Any) -> None:
    folder = site.services.settings.data
    (folder / "mine.txt").write_text("hello " * 100)
    assert launch.data_size("mine.txt", folder) == (600, None)
    size, error = launch.data_size("gone.txt", folder)
    assert size is None and error is not None and "not in the data folder" in error
