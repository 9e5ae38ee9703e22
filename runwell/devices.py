"""Numbers that lie on an accelerator: taken without waiting for it, read later by another thread. Imports no framework.

`float(loss)` of a tensor on a GPU waits until the GPU has worked off everything before it, and so does `loss.item()`. The
training thread must not wait, so it only asks for a copy, which the device makes in its own order of work: what the
tensor becomes later does not matter. The sender reads the copy when it is there.

Copies from a CUDA device land in page-locked memory that is kept: asking for such memory would itself wait for the device.
"""

from __future__ import annotations

import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from runwell.values import to_number

MAX_WAITING = 4096
"""Records whose numbers are on their way; past that the oldest are waited for, so that memory is bounded."""

LANDINGS = 1024
"""Places for numbers made at once: enough for those between two looks of the sender, so that more are hardly ever made."""

OTHER_THREAD_SECONDS = 10.0
"""How long another thread that writes such records is waited for. Not for ever: a signal handler that ends the run in the
middle of a record would wait for a thread that waits for the end of that record."""

MAX_TYPES = 100
"""Types of values that are remembered to be plain."""

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


class NotAtOnce(Exception):
    """A value that the quick way must not read: it would wait for another device, or have PyTorch warn of a gradient."""


def meet_types(values: Iterable[Any], plain: set[type]) -> None:
    """Add the types whose values are nowhere but here to `plain`. Raises `NotAtOnce` when one must not be read there."""
    for value in values:
        kind = type(value)
        if kind in plain:
            continue
        if elsewhere(value) or getattr(value, "requires_grad", False):
            raise NotAtOnce
        if len(plain) < MAX_TYPES and (kind.__module__ == "numpy" or not hasattr(value, "device")):
            plain.add(kind)


class Landing:
    """Where one number of a CUDA device comes down: a place in page-locked memory, and the event behind its copy."""

    __slots__ = ("_event", "_free", "_place")

    def __init__(self, place: Any, event: Any, free: deque[Landing]) -> None:
        """It goes back to `free` once it was read."""
        self._place, self._event, self._free = place, event, free

    def ask(self, value: Any, stream: Any) -> None:
        """Have the tensor copied here by the stream that computes it; waits for nothing."""
        self._place.copy_(value.reshape(()), non_blocking=True)
        self._event.record(stream)

    def ready(self) -> bool:
        """Whether `read` would return, or fail, at once."""
        try:
            return bool(self._event.query())
        except Exception:  # the device has failed: reading says how
            return True

    def read(self) -> float:
        """The number, once it is there. May be called once."""
        self._event.synchronize()
        number = to_number(self._place)
        self._free.append(self)
        return number


class Landings:
    """The places of a process by device, made many at once and used again. Thread-safe."""

    def __init__(self) -> None:
        self._free: dict[Any, deque[Landing]] = {}

    def take(self, torch: Any, device: Any) -> Landing:
        """A free one. Makes more when none is left, and that once waits for the device."""
        free = self._free.setdefault(device, deque())
        try:
            return free.pop()
        except IndexError:
            places = torch.empty(LANDINGS, dtype=torch.float64, pin_memory=True).unbind()
            # a thread that waits for a blocking event sleeps; for another one it spins, on a core that training may need
            free.extend(Landing(place, torch.cuda.Event(blocking=True), free) for place in places)
            return free.pop()


_LANDINGS = Landings()


class Held:
    """One number on its way from its device. Making it waits for nothing; `read` does, and may be called once."""

    __slots__ = ("_value",)

    def __init__(self, value: Any, landings: Landings = _LANDINGS) -> None:
        self._value = value
        torch = sys.modules.get("torch")  # whoever hands over a tensor has loaded it
        if torch is None or not isinstance(value, torch.Tensor):
            return
        if value.numel() != 1:
            raise TypeError(f"has {value.numel()} elements, not one; log its mean, or one name for each")
        if value.is_complex():
            raise TypeError("is a complex number; log its real and imaginary part")
        if value.is_cuda:
            self._value = landings.take(torch, value.device)
            self._value.ask(value.detach(), torch.cuda.current_stream(value.device))
        else:
            self._value = value.detach().clone()  # on its device, after all that was asked of it before

    def ready(self) -> bool:
        """Whether the device has come so far, where it can be asked; else True."""
        return self._value.ready() if isinstance(self._value, Landing) else True

    def read(self) -> float:
        """The number, as soon as the device has come so far. Raises what reading it raises."""
        return self._value.read() if isinstance(self._value, Landing) else to_number(self._value)


def read_or_hold(value: Any) -> Any:
    """The number, or, where reading it would wait for a device, the number on its way."""
    return Held(value) if elsewhere(value) else to_number(value)


class Late:
    """Records of which some numbers are still on their way, oldest first. Thread-safe."""

    def __init__(self, write: Write, refuse: Refuse, begun: Callable[[], None] = lambda: None) -> None:
        """`begun` is called in a thread that adds a record while none waits: not at every one, it is called while logging."""
        self._write, self._refuse, self._begun = write, refuse, begun
        self._waiting: deque[tuple[Numbers, int, float]] = deque()
        self._lock = threading.RLock()
        self._taken = self._written = 0

    def add(self, numbers: Numbers, step: int, time: float) -> None:
        """Take a record in; it is written by a later `look` or `settle`."""
        self._taken += 1
        if not self._waiting:
            self._begun()
        self._waiting.append((numbers, step, time))
        if len(self._waiting) > MAX_WAITING:
            self.settle()

    @property
    def unwritten(self) -> int:
        """How many records were taken in and are not written: those on their way, and those that could not be read."""
        return self._taken - self._written

    def waits(self) -> bool:
        """Whether anything is on its way."""
        return bool(self._waiting)

    def look(self) -> None:
        """Write what has arrived, in order, and wait for nothing: a device that hangs must not silence the run. Never raises."""
        if self._waiting:
            self._write_while(lambda numbers: all(not isinstance(one, Held) or one.ready() for one in numbers.values()))

    def settle(self) -> None:
        """Read and write all that waits, in order; waits for the device where it must, and for a record that another thread
        has in hand. Never raises."""
        if self._taken:
            self._write_while(lambda numbers: True)

    def _write_while(self, may: Callable[[Numbers], bool]) -> None:
        if not self._lock.acquire(timeout=OTHER_THREAD_SECONDS):
            return
        try:
            while self._waiting and may(self._waiting[0][0]):
                self._settle_one(*self._waiting.popleft())
        finally:
            self._lock.release()

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
                self._written += 1
        except Exception as error:
            self._refuse("of a late record", f"could not be written ({error!r})")
