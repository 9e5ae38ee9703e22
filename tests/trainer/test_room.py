"""Memory is asked for before a model is built: what fits passes, what cannot is one sentence, what is unknown passes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from trainer import room
from trainer.config import TrainConfig
from trainer.errors import DeviceError
from trainer.model import GPT, Shape

CPU = torch.device("cpu")
HUGE = {"n_layer": 96, "n_head": 64, "n_embd": 8192, "n_ff": 32_768, "context_length": 8192}


def test_a_model_that_no_machine_can_hold_is_refused_at_once(config: Callable[..., TrainConfig]) -> None:
    with pytest.raises(DeviceError) as caught:
        room.check_room(config(**HUGE), 4096, CPU)
    said = str(caught.value)
    assert said.startswith(
        "a model of 77,411,655,680 parameters needs 1,153.5 GiB for weights, gradients and optimizer, and "
    )
    assert said.endswith(" GiB of cpu memory are free; take a smaller n_layer, n_embd or n_ff")


def test_the_limit_is_exact_and_counts_the_model_that_is_built(
    config: Callable[..., TrainConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    needed = GPT(Shape.of(config(), 65)).parameter_count() * room.BYTES_PER_PARAMETER
    monkeypatch.setattr(room, "free_bytes", lambda device: needed)
    room.check_room(config(), 65, CPU)
    monkeypatch.setattr(room, "free_bytes", lambda device: needed - 1)
    with pytest.raises(DeviceError):
        room.check_room(config(), 65, CPU)
    monkeypatch.setattr(room, "free_bytes", lambda device: None)
    room.check_room(config(**HUGE), 65, CPU)


def test_asking_does_not_disturb_the_seed(config: Callable[..., TrainConfig]) -> None:
    torch.manual_seed(5)
    alone = torch.rand(3)
    torch.manual_seed(5)
    room.check_room(config(), 65, CPU)
    assert torch.equal(torch.rand(3), alone)


def test_the_smaller_of_machine_and_container_counts(tmp_path: Path) -> None:
    meminfo, cgroup = tmp_path / "meminfo", tmp_path / "cgroup"
    assert room.free_bytes(CPU, meminfo, cgroup) is None
    meminfo.write_text("MemTotal:  200 kB\nMemAvailable:   100 kB\n")
    assert room.free_bytes(CPU, meminfo, cgroup) == 102_400
    cgroup.mkdir()
    (cgroup / "memory.stat").write_text("anon 1\nfile 500\n")
    (cgroup / "memory.current").write_text("3000\n")
    (cgroup / "memory.max").write_text("max\n")
    assert room.free_bytes(CPU, meminfo, cgroup) == 102_400, "a container without a limit"
    (cgroup / "memory.max").write_text("4000\n")
    assert room.free_bytes(CPU, meminfo, cgroup) == 1500
