"""Which threads log a run, as far as that is known without asking at every call. Knows no run."""

from __future__ import annotations

import threading
import weakref

from runwell.sender import THREAD_NAME


class Authors:
    """The threads that were seen to log, and are not known to have died of an exception. Thread-safe.

    A thread that ended well stays among them: what it logged, it logged to the end.
    """

    def __init__(self) -> None:
        self._threads: set[weakref.ref[threading.Thread]] = set()

    def see(self) -> None:
        """The thread that calls this logs. The sender's does not: it writes what another one logged."""
        thread = threading.current_thread()
        if thread.name != THREAD_NAME:
            self._threads.add(weakref.ref(thread))

    def lose(self, thread: threading.Thread) -> bool:
        """An exception has ended this thread; whether it logged, and nobody else is left who did."""
        known = weakref.ref(thread)
        if known not in self._threads:
            return False
        self._threads.discard(known)
        return not self._threads
