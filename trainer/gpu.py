"""GPU memory and utilisation, or nothing where there is no GPU: a null object, so that nobody asks which."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import torch

GIB = 2**30
_UTILISATION_SECONDS = 1.0
"""The driver averages utilisation over about this long: asking more often costs time and says nothing new."""


class GpuMeter:
    """Reads the vitals of one CUDA device. On a CPU `read` is empty."""

    def __init__(self, device: torch.device, clock: Callable[[], float] = time.monotonic) -> None:
        self.present = device.type == "cuda"
        self._device = device
        self._clock = clock
        self._asked_at = -_UTILISATION_SECONDS

    def read(self) -> Mapping[str, float]:
        """Metrics by name: peak memory since the last read, total memory, and now and then utilisation."""
        if not self.present:
            return {}
        values = {
            "gpu/memory_gib": torch.cuda.max_memory_allocated(self._device) / GIB,
            "gpu/memory_total_gib": torch.cuda.get_device_properties(self._device).total_memory / GIB,
        }
        torch.cuda.reset_peak_memory_stats(self._device)
        if self._clock() - self._asked_at >= _UTILISATION_SECONDS:
            self._asked_at = self._clock()
            values |= self._utilisation()
        return values

    def _utilisation(self) -> Mapping[str, float]:
        try:
            return {"gpu/utilization": float(torch.cuda.utilization(self._device))}
        except Exception:  # the driver's library is missing or refuses (containers, MIG): a vital less, never a crash
            self._asked_at = float("inf")  # not asked again
            return {}
