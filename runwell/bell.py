"""What wakes the sender: rung by whoever has something for it, heard by one thread. No lock is waited for to ring it."""

from __future__ import annotations

import threading


class Bell:
    """Rung any number of times, it wakes once. May be rung from any thread, and from a signal handler in the middle of a ring.

    It is a lock that the one who waits cannot get: ringing releases it. An `Event` would take a lock of its own to be set,
    for which a signal handler that logs could wait for ever.
    """

    def __init__(self) -> None:
        self._silence = threading.Lock()
        self._silence.acquire()

    def ring(self) -> None:
        """Wake the one who waits, or the next wait at once."""
        try:
            self._silence.release()
        except RuntimeError:
            return  # it rings already

    def wait(self, seconds: float) -> bool:
        """Wait until it rings, for at most so many seconds; whether it rang."""
        return self._silence.acquire(timeout=max(0.0, seconds))
