"""Whether a model fits into memory, asked before it is built. Knows parameters and bytes, nothing of activations.

A machine that runs out of memory may end any process, not only the one that took too much: the question comes first.
"""

from __future__ import annotations

from pathlib import Path

import torch

from trainer.config import TrainConfig
from trainer.errors import DeviceError
from trainer.model import GPT, Shape

BYTES_PER_PARAMETER = 16
"""Weight, gradient and AdamW's two moments, in 32 bits each."""

_MEMINFO = Path("/proc/meminfo")
_CGROUP = Path("/sys/fs/cgroup")


def check_room(config: TrainConfig, vocab_size: int, device: torch.device) -> None:
    """Raise `DeviceError` when weights, gradients and optimizer alone are larger than the memory that is free."""
    with torch.device("meta"):  # shapes without memory
        parameters = GPT(Shape.of(config, vocab_size)).parameter_count()
    needed, free = parameters * BYTES_PER_PARAMETER, free_bytes(device)
    if free is not None and needed > free:
        raise DeviceError(
            f"a model of {parameters:,} parameters needs {needed / 2**30:,.1f} GiB for weights, gradients and optimizer, "
            f"and {free / 2**30:,.1f} GiB of {device.type} memory are free; take a smaller n_layer, n_embd or n_ff"
        )


def free_bytes(device: torch.device, meminfo: Path = _MEMINFO, cgroup: Path = _CGROUP) -> int | None:
    """Bytes that can still be taken on the device; None where the system does not say."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    found = [size for size in (_available(meminfo), _left_in_container(cgroup)) if size is not None]
    return min(found, default=None)


def _available(meminfo: Path) -> int | None:
    try:
        lines = meminfo.read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")), None)


def _left_in_container(cgroup: Path) -> int | None:
    """What a container's limit leaves; its file cache counts as free, because it makes room."""
    try:
        limit, used = int((cgroup / "memory.max").read_text()), int((cgroup / "memory.current").read_text())
        statistics = dict(line.split() for line in (cgroup / "memory.stat").read_text().splitlines())
    except (OSError, ValueError):  # no container, or one without a limit ("max")
        return None
    return max(0, limit - used + int(statistics.get("file", 0)))
