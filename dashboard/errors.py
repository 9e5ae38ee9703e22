"""The server's exceptions, drawn as one tree. Each message is one sentence that a user can act on.

DashboardError
├── SettingsError        a flag or an environment variable is wrong
├── StoreError           the database cannot be used as it is
│   ├── NewerStore       written by a later version of Runwell
│   └── CorruptStore     a stored block cannot be read back
├── UnknownRun           (also a LookupError) no run of that id
├── DeletedRun           there was one, and what its processes left is not taken any more
├── UnknownFinding       (also a LookupError) no such finding on that run
├── Busy                 more comes in than can be stored just now
├── TooManyRuns          a client begins more runs than it may
├── SequenceGap          a batch leaves out records that were never stored
└── Refused              a request is understood and not allowed as it is
    └── TooLarge         a request is bigger than the server reads
"""

from __future__ import annotations


class DashboardError(Exception):
    """Anything that the server says no to, in one sentence."""


class SettingsError(DashboardError):
    """A flag or an environment variable is wrong; the message names it and what is allowed."""


class StoreError(DashboardError):
    """The database cannot be used as it is."""


class NewerStore(StoreError):
    """The database was written by a later version of Runwell."""


class CorruptStore(StoreError):
    """A stored block cannot be read back; the message names it."""


class Busy(DashboardError):
    """More comes in than can be stored just now; the sender keeps its records and comes back."""

    retry_after_seconds = 1

    def __init__(self, batches: int, size: int) -> None:
        super().__init__(
            f"{batches:,} batches of {size / 2**20:.0f} MiB wait to be stored already; "
            f"nothing of this one was taken, send it again in {self.retry_after_seconds} s"
        )


class TooManyRuns(DashboardError):
    """A client begins more runs in a minute than it may; its sender keeps the records and comes back."""

    def __init__(self, most_a_minute: int, retry_after_seconds: int) -> None:
        super().__init__(
            f"more than {most_a_minute:,} new runs a minute from one machine are not taken (RUNWELL_MAX_NEW_RUNS of the server); "
            f"nothing was stored, send it again in {retry_after_seconds} s"
        )
        self.retry_after_seconds = retry_after_seconds


class UnknownRun(DashboardError, LookupError):
    """No run has that id."""

    def __init__(self, run_id: str, hint: str = "the page Runs and `runwell runs` list those there are") -> None:
        super().__init__(f"there is no run {run_id[:80]!r}; {hint}")
        self.run_id = run_id


class DeletedRun(DashboardError):
    """The run was deleted, and a process that wrote it had not sent everything."""

    def __init__(self, run_id: str) -> None:
        super().__init__(f"run {run_id[:80]!r} was deleted; what was left of it is not taken any more")
        self.run_id = run_id


class UnknownFinding(DashboardError, LookupError):
    """The run has no finding of that rule and subject."""

    def __init__(self, run_id: str, rule: str, subject: str) -> None:
        about = f" about {subject[:80]!r}" if subject else ""
        super().__init__(f"run {run_id[:80]!r} has no finding of rule {rule[:80]!r}{about}")


class SequenceGap(DashboardError):
    """A batch starts after `expected_seq`, so the records between were never stored."""

    def __init__(self, writer: str, first_seq: int, expected_seq: int) -> None:
        super().__init__(
            f"writer {writer[:80]!r} sent records from {first_seq} on, but {expected_seq} is the next one expected; "
            f"send again from {expected_seq}"
        )
        self.expected_seq = expected_seq


class Refused(DashboardError):
    """A request is understood and not allowed as it is; the message says what would be."""


class Conflict(Refused):
    """A request would be allowed, but not in the state that things are in just now."""


class TooLarge(Refused):
    """A request is bigger, or comes slower, than the server reads."""
