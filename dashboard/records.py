"""The frozen records that the store returns and everything else in the server speaks in. No behaviour, no I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runwell.wire import MAX_STEP

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class State(StrEnum):
    """The life of a run. `queued` and `starting` come before any event; the last four are ends."""

    QUEUED = "queued"
    STARTING = "starting"
    RUNNING = "running"
    LOST = "lost"  # a worker elsewhere went silent; it may come back, and is running again if it does
    FINISHED = "finished"
    STOPPED = "stopped"
    CRASHED = "crashed"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        """Whether nothing more is expected (a writer that comes back all the same makes it running again)."""
        return self in (State.FINISHED, State.STOPPED, State.CRASHED, State.CANCELLED)


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """One training attempt. Times are seconds since 1970 (UTC)."""

    id: str
    project: str
    name: str
    state: State
    state_reason: str = ""
    """One sentence: why it is in this state, as the user reads it."""
    tags: tuple[str, ...] = ()
    config: Mapping[str, Any] = field(default_factory=dict)
    parent_id: str | None = None
    created_at: float
    started_at: float | None = None
    ended_at: float | None = None
    last_event_at: float | None = None
    last_step: int | None = None
    launched: bool = False
    """True when this server started the worker (it can then be signalled), False when it came through the SDK."""
    pid: int | None = None
    pid_started_at: float | None = None
    host: str = ""
    exit_code: int | None = None
    verdict: str = "unknown"
    """`healthy`, `info`, `warning`, `critical` by the worst open finding; `unknown` before the first point."""

    @property
    def planned_steps(self) -> int | None:
        """Steps the run is planned for, when its config says so."""
        value = self.config.get("max_steps")
        if isinstance(value, int | float) and not isinstance(value, bool) and 1 <= value <= MAX_STEP:
            return int(value)
        return None  # also for `max_steps=math.inf`: a plan without an end is none


@dataclass(frozen=True, kw_only=True, slots=True)
class RunSummary:
    """A row of the Runs page: the run and its latest numbers, ready to show."""

    run: Run
    latest: Mapping[str, float]
    """Last value by series name (NaN and ±Inf kept)."""
    best_val_loss: float | None
    best_val_step: int | None
    sparkline: Sequence[float]
    """At most 60 train-loss values, oldest first, non-finite values kept."""
    open_findings: tuple[tuple[str, str], ...]
    """(severity, title) of findings that are open, worst first."""
    known_findings: tuple[tuple[str, str], ...] = ()
    """The same of those that still count in the verdict but need no new look: acknowledged, or over."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Series:
    """One series, raw or bucketed: columns of equal length, ordered by step.

    `min`, `max`, `mean` are over the finite values of a bucket (NaN when it has none), `last` is the bucket's last value
    as it was logged, `count` all its points, `nonfinite` how many of them are NaN or ±Inf. Raw points have count 1.
    `step` is the step of the bucket's last point; `min_step` and `max_step` are where its extremes lie, `min_time` and
    `max_time` when those were logged (None unless they were asked for: they cost more than the rest together).
    """

    name: str
    step: Ints
    time: Floats
    min: Floats
    max: Floats
    mean: Floats
    last: Floats
    count: Ints
    nonfinite: Ints
    min_step: Ints
    max_step: Ints
    min_time: Floats | None = None
    max_time: Floats | None = None


def joined(parts: Sequence[Series]) -> Series:
    """Pieces of one series, in order of their steps, as one. All or none of them know the times of their extremes."""
    columns = [one.name for one in fields(Series) if one.name != "name" and getattr(parts[0], one.name) is not None]
    return Series(
        name=parts[0].name,
        **{column: np.concatenate([getattr(part, column) for part in parts]) for column in columns},
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """Text that the model wrote for a prompt at a step. Untrusted: shown as text only."""

    step: int
    time: float
    prompt: str
    text: str
    measures: Mapping[str, float] = field(default_factory=dict)
    """What was measured of it, by name, such as `verbatim_tokens`; non-finite values kept."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LogLine:
    """One captured line of a worker's output. `number` orders the lines of a run."""

    number: int
    time: float
    stream: str
    text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class TimelineEntry:
    """Anything else that happened to a run: a checkpoint, a state change, an alert, an acknowledged command."""

    kind: str
    step: int | None
    time: float
    data: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class FindingRecord:
    """A stored finding: what the engine said, and what a person did about it."""

    run_id: str
    rule: str
    subject: str
    status: str
    """`open`, `acknowledged`, `muted` or `resolved`."""
    severity: str
    title: str
    first_step: int
    detected_step: int
    last_step: int
    opened_at: float
    resolved_at: float | None
    body: Mapping[str, Any]
    """The whole finding as `diagnostics.Finding.to_mapping()` gives it: evidence, causes, remedies, confidence, because."""

    @property
    def came_back(self) -> bool:
        """Whether what it tells of began after it was seen first: the step at which a finding was detected is that of its first time."""
        return self.detected_step < self.first_step


@dataclass(frozen=True, kw_only=True, slots=True)
class Receipt:
    """What the store did with a batch."""

    stored_through: int
    """Every record of this writer up to and including this sequence number is stored or was refused by name."""
    stored: int
    duplicates: int
    refused: tuple[tuple[int, str], ...] = ()
    """(sequence number, reason) of records that can never be stored."""
    first_arrival: int = 0
    """Arrival number of the first event stored; those stored with it follow without gaps. 0 when none was stored."""
    current: bool = True
    """False when its writer is from before a rewind, so that the points that it has of later steps are hidden."""


@dataclass(frozen=True, kw_only=True, slots=True)
class WriterRecord:
    """How far one writer of a run has got: what the store can say of it by itself."""

    name: str
    stored_through: int
    duplicates: int
    """Records that came again and were stored once."""
    refused: int
    last_contact_at: float | None
    forked: bool = False
    """Whether it is a forked child's: its parent speaks for both."""
    ended_at: float | None = None
    """When it said its end, by this server's clock; None while it goes on, or vanished."""
    said: Mapping[str, Any] = field(default_factory=dict)
    """Its last words, a `state` event, as long as they count: not after another process has begun."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Command:
    """Something the server asks of a worker: `stop`, `checkpoint`, `sample` or `set`."""

    id: int
    run_id: str
    kind: str
    args: Mapping[str, Any]
    created_at: float
    acknowledged_at: float | None = None
    outcome: str = ""
