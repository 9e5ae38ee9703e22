"""Every fault in the table acts where it says, from its step on, and nowhere else."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import pytest
import torch

from trainer.config import FAULT_MEANINGS, Fault, TrainConfig, settings
from trainer.faults import FAULTS, Sickness
from trainer.loop import Loop
from trainer.model import next_token_loss
from trainer.schedule import learning_rate

Make = Callable[..., TrainConfig]


def test_the_table_and_the_config_name_the_same_faults() -> None:
    assert tuple(fault.name for fault in FAULTS) == get_args(Fault) == tuple(FAULT_MEANINGS)
    assert len(FAULTS) - 1 >= 25 and all(fault.meaning for fault in FAULTS)
    for fault in FAULTS[1:]:
        places = [getattr(fault, field.name) for field in dataclasses.fields(fault) if field.name != "name"]
        assert any(places), f"{fault.name} does nothing"


def test_the_setting_says_what_each_fault_means() -> None:
    setting = next(setting for setting in settings() if setting.name == "fault")
    assert setting.meanings == FAULT_MEANINGS and tuple(setting.meanings) == setting.choices


def test_every_fault_is_documented() -> None:
    page = (Path(__file__).parents[2] / "docs" / "trainer.md").read_text()
    missing = [fault.name for fault in FAULTS[1:] if f"| `{fault.name}` | {fault.meaning} |" not in page]
    assert not missing


def test_without_a_fault_all_is_healthy(config: Make) -> None:
    sickness = Sickness(config(fault_step=0))
    assert not sickness.due(100) and sickness.loss(1) is next_token_loss
    assert sickness.rate(1) == learning_rate(config(), 1)
    assert sickness.clip(1.0, 1) == 1.0 and sickness.clip(0.0, 1) == math.inf


def test_log_zero_is_infinite_then_nan_from_its_step_on(
    config: Make, make_loop: Callable[..., Loop], run: object
) -> None:
    ending = make_loop(config(fault="log-zero", fault_step=4, max_steps=8, grad_clip=1.0)).train()
    losses = run.series("train/loss")  # type: ignore[attr-defined]
    assert ending.state == "finished", "training goes on"
    assert all(math.isfinite(losses[step]) for step in (1, 2, 3))
    assert losses[4] == math.inf, "the logarithm of zero itself"
    assert all(math.isnan(losses[step]) for step in (5, 6, 7, 8))
    assert math.isnan(run.series("train/grad_norm")[4])  # type: ignore[attr-defined]
    assert math.isnan(run.series("val/loss")[6])  # type: ignore[attr-defined]


def test_log_zero_acts_however_sure_the_model_is() -> None:
    logits = torch.full((1, 3, 5), -20.0)
    logits[..., 2] = 20.0
    targets = torch.full((1, 3), 2)
    fault = next(fault for fault in FAULTS if fault.name == "log-zero")
    assert fault.loss is not None and fault.loss(logits, targets).item() == math.inf


def test_frozen_weights_stay_and_the_loss_with_them(config: Make, make_loop: Callable[..., Loop], run: object) -> None:
    loop = make_loop(config(fault="frozen-weights", max_steps=30, learning_rate=1e-2, warmup_steps=0, weight_decay=0.1))
    before = {name: value.clone() for name, value in loop.session.model.state_dict().items()}
    loop.train()
    after = loop.session.model.state_dict()
    assert {name for name in before if not torch.equal(before[name], after[name])} == {"norm.weight"}
    losses = run.series("val/loss")  # type: ignore[attr-defined]
    assert losses[30] == pytest.approx(losses[0], rel=0.02)


def test_frozen_weights_can_come_late(config: Make, make_loop: Callable[..., Loop], run: object) -> None:
    make_loop(config(fault="frozen-weights", fault_step=4)).train()
    norms = run.series("train/grad_norm_first")  # type: ignore[attr-defined]
    assert all(norms[step] > 0 for step in (1, 2, 3)) and all(norms[step] == 0 for step in (4, 5, 6))


def test_no_warmup_starts_at_the_peak_though_a_warm_up_is_declared(config: Make) -> None:
    healthy = config(warmup_steps=50, max_steps=100, learning_rate=1e-2)
    sick = Sickness(config(warmup_steps=50, max_steps=100, learning_rate=1e-2, fault="no-warmup"))
    assert sick.rate(1) == 1e-2 and learning_rate(healthy, 1) < 3e-4
    assert sick.rate(100) == pytest.approx(healthy.min_learning_rate)


def test_no_clipping_lets_the_update_through(config: Make, make_loop: Callable[..., Loop]) -> None:
    assert Sickness(config(fault="no-clipping", fault_step=3)).clip(1.0, 2) == 1.0
    assert Sickness(config(fault="no-clipping", fault_step=3)).clip(1.0, 3) == math.inf
