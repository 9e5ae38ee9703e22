"""Which device and format is chosen, why, and what is refused."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from trainer import precision
from trainer.config import TrainConfig
from trainer.errors import DeviceError
from trainer.precision import choose


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool, bool], None]:
    """Pretends that the machine has a GPU or not, and that the GPU has bf16 or not."""

    def pretend(cuda: bool, bf16: bool) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: bf16)

    return pretend


@pytest.mark.parametrize(
    ("cuda", "bf16", "name", "reason"),
    [
        (False, False, "fp32", "no CUDA GPU is there; on a CPU fp32 is the fastest that is exact"),
        (True, True, "bf16", "a CUDA GPU is there; this GPU has bf16, which needs no loss scaler"),
        (True, False, "fp16", "a CUDA GPU is there; this GPU has no bf16, so fp16 with a loss scaler"),
    ],
)
def test_auto_chooses_and_says_why(
    machine: Callable[[bool, bool], None], cuda: bool, bf16: bool, name: str, reason: str
) -> None:
    machine(cuda, bf16)
    chosen = choose(TrainConfig())
    assert (chosen.name, chosen.reason) == (name, reason)
    assert chosen.device.type == ("cuda" if cuda else "cpu")
    assert chosen.scaled == (name == "fp16")


def test_what_is_asked_for_is_taken(machine: Callable[[bool, bool], None]) -> None:
    machine(True, True)
    chosen = choose(TrainConfig(device="cpu", precision="bf16"))
    assert (chosen.device.type, chosen.name, chosen.reason) == ("cpu", "bf16", "cpu was asked for; bf16 was asked for")


@pytest.mark.parametrize(
    ("cuda", "settings", "sentence"),
    [
        (False, {"device": "cuda"}, "device = 'cuda' but this torch .* sees no CUDA GPU; use device = auto or cpu"),
        (False, {"precision": "fp16"}, "precision = 'fp16' needs a GPU; on a CPU use precision = auto, fp32 or bf16"),
        (True, {"precision": "bf16"}, "precision = 'bf16' but this GPU has no bf16; use precision = auto or fp16"),
    ],
)
def test_what_is_not_there_is_refused(
    machine: Callable[[bool, bool], None], cuda: bool, settings: dict[str, str], sentence: str
) -> None:
    machine(cuda, False)
    with pytest.raises(DeviceError, match=sentence):
        choose(TrainConfig(**settings))  # type: ignore[arg-type]


def test_bf16_on_a_cpu_really_runs_in_bf16() -> None:
    chosen = precision.choose(TrainConfig(device="cpu", precision="bf16"))
    with chosen.autocast():
        assert torch.nn.functional.linear(torch.ones(1, 2), torch.ones(2, 2)).dtype == torch.bfloat16
    with precision.choose(TrainConfig(device="cpu")).autocast():
        assert torch.nn.functional.linear(torch.ones(1, 2), torch.ones(2, 2)).dtype == torch.float32
