"""How many batches the server takes at once: past that it asks senders to come back, instead of taking in what it cannot store.

A sender that is asked to wait keeps its records in its spool, where they are safe. Used on the event loop alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from dashboard.errors import Busy

MAX_HELD_BYTES = 64 * 2**20
"""Bodies that are being read or wait for the store."""
MAX_HELD_BATCHES = 1000
SMALL_BYTES = 4096
"""A heartbeat and the like: it is taken while bodies are not, so that a live run is not taken for a lost one."""
TURN_SECONDS = 5.0
"""A batch that has waited so long for its turn is sent away: half of what a sender waits for an answer, so that the same
batch does not wait here twice."""
STORING_THREADS = 4
"""Batches decoded at once; the store takes one after the other. The threads of other routes stay free."""


class Intake:
    """Counts what is held. Raises `Busy` when there is no room."""

    def __init__(self, max_bytes: int = MAX_HELD_BYTES, max_batches: int = MAX_HELD_BATCHES) -> None:
        self._max_bytes, self._max_batches = max_bytes, max_batches
        self._bytes = self._batches = 0
        self._turns = asyncio.Semaphore(STORING_THREADS)

    @contextmanager
    def room(self, size: int) -> Iterator[None]:
        """Hold room for a body of so many bytes."""
        if self._batches >= self._max_batches or (
            size > SMALL_BYTES and self._bytes and self._bytes + size > self._max_bytes
        ):
            raise Busy(self._batches, self._bytes)
        self._bytes += size
        self._batches += 1
        try:
            yield
        finally:
            self._bytes -= size
            self._batches -= 1

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for one of the threads that store."""
        try:
            async with asyncio.timeout(TURN_SECONDS):
                await self._turns.acquire()
        except TimeoutError:
            raise Busy(self._batches, self._bytes) from None
        try:
            yield
        finally:
            self._turns.release()
