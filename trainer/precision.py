"""Which device and number format to train in, always with the reason, so that nobody has to guess why."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch

from trainer.config import TrainConfig
from trainer.errors import DeviceError


@dataclass(frozen=True, kw_only=True, slots=True)
class Precision:
    """Where and in which format the forward pass runs. Weights and optimizer stay in fp32."""

    device: torch.device
    dtype: torch.dtype
    reason: str
    """One phrase: why this device and this format."""

    @property
    def name(self) -> str:
        """`fp32`, `bf16` or `fp16`."""
        return {torch.float32: "fp32", torch.bfloat16: "bf16", torch.float16: "fp16"}[self.dtype]

    @property
    def scaled(self) -> bool:
        """Whether gradients need a loss scaler: fp16's small numbers vanish without one."""
        return self.dtype == torch.float16

    def autocast(self) -> AbstractContextManager[object]:
        """The context of a forward pass."""
        if self.dtype == torch.float32:
            return nullcontext()
        return torch.autocast(self.device.type, dtype=self.dtype)


def choose(config: TrainConfig) -> Precision:
    """Device and format for a config. Raises `DeviceError` when what was asked for is not there."""
    device, device_reason = _device(config.device, torch.cuda.is_available())
    bf16 = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    dtype, reason = _dtype(config.precision, device.type, bf16)
    return Precision(device=device, dtype=dtype, reason=f"{device_reason}; {reason}")


def _device(asked: str, cuda: bool) -> tuple[torch.device, str]:
    if asked == "cuda" and not cuda:
        raise DeviceError(
            f"device = 'cuda' but this torch ({torch.__version__}) sees no CUDA GPU; use device = auto or cpu (--device)"
        )
    if asked == "auto":
        return (torch.device("cuda"), "a CUDA GPU is there") if cuda else (torch.device("cpu"), "no CUDA GPU is there")
    return torch.device(asked), f"{asked} was asked for"


def _dtype(asked: str, device: str, bf16: bool) -> tuple[torch.dtype, str]:
    if asked == "fp16" and device == "cpu":
        raise DeviceError("precision = 'fp16' needs a GPU; on a CPU use precision = auto, fp32 or bf16 (--precision)")
    if asked == "bf16" and device == "cuda" and not bf16:
        raise DeviceError("precision = 'bf16' but this GPU has no bf16; use precision = auto or fp16 (--precision)")
    if asked != "auto":
        return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[asked], f"{asked} was asked for"
    if device == "cpu":
        return torch.float32, "on a CPU fp32 is the fastest that is exact"
    if bf16:
        return torch.bfloat16, "this GPU has bf16, which needs no loss scaler"
    return torch.float16, "this GPU has no bf16, so fp16 with a loss scaler"
