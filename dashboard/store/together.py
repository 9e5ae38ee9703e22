"""Writers that wait for their turn at the same moment share one transaction. Knows transactions, not what is stored.

A commit costs a flush to the disk. With many runs sending at once, those who come while another commit is under way are
stored together by the next one: each in a savepoint of its own, so that one that is refused changes nothing for the rest.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from typing import Any, TypeVar

import sqlalchemy as sa

from dashboard.errors import DashboardError
from dashboard.store.database import Database

T = TypeVar("T")

MOST = 64
"""Writers in one transaction, so that none waits long for the others' work."""


class _Job:
    """One writer's work, and what became of it."""

    def __init__(self, work: Callable[[sa.Connection], Any]) -> None:
        self.work = work
        self.done = False
        self.value: Any = None
        self.error: BaseException | None = None


class Together:
    """Transactions shared by whoever waits. Thread-safe."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = Lock()  # guards the list
        self._turn = Lock()  # held by the one who works for all
        self._waiting: list[_Job] = []

    def do(self, work: Callable[[sa.Connection], T]) -> T:
        """What `work` returns, once it is committed. Raises what it raises, or StoreError; then nothing of it is stored."""
        job = _Job(work)
        with self._lock:
            self._waiting.append(job)
        with self._turn:
            while not job.done:
                with self._lock:
                    jobs, self._waiting = self._waiting[:MOST], self._waiting[MOST:]
                self._do_all(jobs)
        if job.error is not None:
            raise job.error
        value: T = job.value
        return value

    def _do_all(self, jobs: list[_Job]) -> None:
        if len(jobs) > 1 and self._shared(jobs):
            return
        for job in jobs:
            self._alone(job)

    def _shared(self, jobs: list[_Job]) -> bool:
        """All in one transaction; False when that failed as a whole, and nothing of it is stored."""
        outcomes: list[tuple[Any, DashboardError | None]] = []
        try:
            with self._database.write() as connection:
                for job in jobs:
                    try:
                        with connection.begin_nested():
                            outcomes.append((job.work(connection), None))
                    except DashboardError as error:
                        outcomes.append((None, error))
        except Exception:
            return False  # each is tried alone, and then told its own reason
        for job, (job.value, job.error) in zip(jobs, outcomes, strict=True):
            job.done = True
        return True

    def _alone(self, job: _Job) -> None:
        try:
            with self._database.write() as connection:
                job.value = job.work(connection)
        except BaseException as error:
            job.error = error
        job.done = True
