"""Numbers that lie on an accelerator: taken without waiting for it, read later by another thread. Imports no framework.

`float(loss)` of a tensor on a GPU waits until the GPU has worked off everything before it, and so does `loss.item()`. The
training thread must not wait, so it only asks for a copy, which the device makes in its own order of work: what the
tensor becomes later does not matter. The sender reads the copy when it is there.
"""

from __future__ import annotations

import sys
import threading
from collections import deque
from collections.abc import Callable
from typing import Any

from runwell.values import to_number

MAX_WAITING = 4096
"""Records whose numbers are on their way; past that the oldest are waited for, so that memory is bounded."""

Numbers = dict[str, Any]
"""Names to floats, or to `Held`."""
Write = Callable[[dict[str, float], int, float], None]
Refuse = Callable[[str, str], None]


def elsewhere(value: Any) -> bool:
    """Whether reading this number would wait for another device (PyTorch, JAX, CuPy, TensorFlow: by what they say)."""
    device = getattr(value, "device", None)
    if device is None or callable(device):
        return False
    kind = getattr(device, "type", None) or getattr(device, "platform", None) or str(device)
    return isinstance(kind, str) and "cpu" not in kind.lower() and kind != "meta"


class Held:
    """One number on its way from its device. Making it waits for nothing; `read` does."""

    __slots__ = ("_done", "_value")

    def __init__(self, value: Any) -> None:
        self._done: Any = None
        self._value = value
        torch = sys.modules.get("torch")  # whoever hands over a tensor has loaded it
        if torch is not None and isinstance(value, torch.Tensor):
            if value.numel() != 1:
                raise TypeError(f"has {value.numel()} elements, not one; log its mean, or one name for each")
            self._value = value.detach().to("cpu", non_blocking=True)
            if value.is_cuda:
                # on the stream that computes it: the copy is whole when this event is
                self._done = torch.cuda.current_stream(value.device).record_event()

    def read(self) -> float:
        """The number, as soon as the device has come so far. Raises what reading it raises."""
        if self._done is not None:
            self._done.synchronize()
        return to_number(self._value)


class Late:
    """Records of which some numbers are still on their way, oldest first. Thread-safe."""

    def __init__(self, write: Write, refuse: Refuse) -> None:
        self._write, self._refuse = write, refuse
        self._waiting: deque[tuple[Numbers, int, float]] = deque()
        self._lock = threading.RLock()

    def add(self, numbers: Numbers, step: int, time: float) -> None:
        """Take a record in; it is written by the next `settle`."""
        self._waiting.append((numbers, step, time))
        if len(self._waiting) > MAX_WAITING:
            self.settle()

    def waits(self) -> bool:
        """Whether anything is on its way."""
        return bool(self._waiting)

    def settle(self) -> None:
        """Read and write all that waits, in order; waits for the device where it must. Never raises."""
        if not self._waiting:
            return
        with self._lock:
            while self._waiting:
                self._settle_one(*self._waiting.popleft())

    def _settle_one(self, numbers: Numbers, step: int, time: float) -> None:
        found: dict[str, float] = {}
        for name, number in numbers.items():
            try:
                found[name] = number.read() if isinstance(number, Held) else number
            except Exception as error:
                self._refuse(name, f"cannot be read ({error!r})")
        try:
            if found:
                self._write(found, step, time)
        except Exception as error:
            self._refuse("of a late record", f"could not be written ({error!r})")
