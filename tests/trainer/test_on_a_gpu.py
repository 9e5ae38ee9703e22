"""Training on a real CUDA device, in each number format: it learns, tells its vitals, and goes on from a checkpoint. Skipped
without one."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from trainer.checkpoint import CheckpointFolder
from trainer.config import TrainConfig
from trainer.loop import Loop
from trainer.precision import choose
from trainer.room import free_bytes
from trainer.session import Session, new_session, restore
from trainer.tokenizer import from_json

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")

Make = Callable[..., TrainConfig]
MakeLoop = Callable[..., Loop]


def resumed(config: TrainConfig, folder: Path, which: str = "last") -> Session:
    """A fresh session with a checkpoint in it, as a new process would have."""
    loaded = CheckpointFolder(folder).load(which)
    torch.manual_seed(999)
    session = new_session(config, from_json(loaded.tokenizer), choose(config))
    restore(session, loaded)
    return session


@pytest.mark.parametrize("precision", ["auto", "fp32", "bf16", "fp16"])
def test_it_learns_and_tells_its_vitals(config: Make, make_loop: MakeLoop, run: Any, precision: str) -> None:
    settings = config(
        device="auto", precision=precision, max_steps=60, learning_rate=1e-2, sample_interval=60, log_interval=5
    )
    loop = make_loop(settings)
    assert loop.session.precision.device.type == "cuda"
    assert loop.train().state == "finished"
    losses = run.series("train/loss")
    assert losses[60] < losses[5] - 0.3 and all(map(math.isfinite, losses.values()))
    assert abs(run.series("val/loss")[60] - losses[60]) < 0.5
    assert all(0 < taken < total for taken, total in zip(
        run.series("gpu/memory_gib").values(), run.series("gpu/memory_total_gib").values(), strict=True
    ))  # fmt: skip
    assert all(0 <= share <= 100 for share in run.series("gpu/utilization").values())
    assert len(run.samples) == 2 and all(text for _, _, text in run.samples)
    assert bool(run.series("train/loss_scale")) is (precision == "fp16")


def test_the_formats_agree_on_the_first_loss(config: Make, make_loop: MakeLoop, run: Any) -> None:
    first = {}
    for device, precision in (("cpu", "fp32"), ("cuda", "fp32"), ("cuda", "bf16"), ("cuda", "fp16")):
        run.points.clear()
        make_loop(config(device=device, precision=precision, max_steps=1)).train()
        first[device, precision] = run.series("val/loss")[0]
    assert all(loss == pytest.approx(first["cpu", "fp32"], rel=5e-3) for loss in first.values()), first


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_a_resumed_run_goes_on_as_the_uninterrupted_one(
    config: Make, make_loop: MakeLoop, run: Any, tmp_path: Path, precision: str
) -> None:
    """Not bit for bit, as on a CPU: sums on a GPU come in any order. Dropout must draw the same numbers all the same."""
    settings = config(
        device="cuda", precision=precision, dropout=0.3, max_steps=12, checkpoint_interval=6, eval_interval=100
    )
    make_loop(settings).train()
    straight = run.series("train/loss")
    run.points.clear()
    make_loop(settings, resumed(settings, tmp_path / "checkpoints", "6")).train()
    again = run.series("train/loss")
    assert list(again) == [7, 8, 9, 10, 11, 12]
    assert all(again[step] == pytest.approx(straight[step], rel=2e-3) for step in again)


@pytest.mark.parametrize(("trained_on", "goes_on_on"), [("cpu", "cuda"), ("cuda", "cpu")])
def test_a_checkpoint_goes_from_one_kind_of_device_to_the_other(
    config: Make, make_loop: MakeLoop, run: Any, tmp_path: Path, trained_on: str, goes_on_on: str
) -> None:
    make_loop(config(device=trained_on, checkpoint_interval=6)).train()
    before = run.series("val/loss")[6]
    longer = config(device=goes_on_on, max_steps=9)
    make_loop(longer, resumed(longer, tmp_path / "checkpoints")).train()
    assert run.series("val/loss")[9] == pytest.approx(before, abs=0.5) and set(run.series("train/loss")) >= {7, 8, 9}


@pytest.mark.parametrize("fault", ["log-zero", "fp16-overflow"])
def test_what_is_not_a_number_on_the_gpu_is_logged_so(config: Make, make_loop: MakeLoop, run: Any, fault: str) -> None:
    make_loop(config(device="cuda", fault=fault, fault_step=3)).train()
    told = [*run.series("train/loss").values(), *run.series("train/grad_norm").values()]
    assert any(not math.isfinite(value) for value in told) and len(run.series("train/loss")) == 6


def test_an_overflow_in_half_precision_lowers_the_scale_and_keeps_the_weights(
    config: Make, make_loop: MakeLoop, run: Any
) -> None:
    loop = make_loop(config(device="cuda", precision="fp16", max_steps=12))
    loop.session.scaler = torch.amp.GradScaler("cuda", init_scale=2.0**40)
    loop.train()
    scales = list(run.series("train/loss_scale").values())
    assert scales[0] < 2.0**40 and scales[-1] < scales[0]
    assert all(bool(torch.isfinite(p).all()) for p in loop.session.model.parameters())
    assert not math.isfinite(next(iter(run.series("train/grad_norm").values()))), "the overflow itself is shown"


def test_the_room_of_a_gpu_is_its_own() -> None:
    free = free_bytes(torch.device("cuda"))
    assert free is not None and 0 < free <= torch.cuda.get_device_properties(0).total_memory
