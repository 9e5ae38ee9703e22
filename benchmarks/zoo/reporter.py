"""A run that keeps what it is told as run-log events, and a wall whose waits pass at once. Knows nothing of cases' labels."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from diagnostics.silence import MOMENTS
from trainer.checkpoint import Checkpoint, CheckpointFolder
from trainer.wall import Wall

DIGITS = 5
LEFT_OUT = ("train/tokens",)
"""Series that no rule reads and that follow from the step and the config."""


class FastWall:
    """The seconds that this process worked plus all that it slept: an hour's hang is recorded in no time.

    Not the real time: several recordings share a machine, and a healthy run must not look slow because of its neighbours.
    """

    def __init__(self) -> None:
        self._start = time.process_time()
        self._slept = 0.0

    def clock(self) -> float:
        """Seconds since this wall was made."""
        return time.process_time() - self._start + self._slept

    def sleep(self, seconds: float) -> None:
        """Let the seconds pass at once."""
        self._slept += seconds

    def wall(self) -> Wall:
        """What the training loop takes."""
        return Wall(self.clock, self.sleep)


class MemoryCheckpoints(CheckpointFolder):
    """Keeps the checkpoint of one step in memory, and writes none."""

    def __init__(self, step: int) -> None:
        super().__init__(Path("nowhere"))
        self._step = step
        self._kept: Checkpoint | None = None

    @property
    def kept(self) -> Checkpoint:
        """The one of that step; the run was planned to make it."""
        assert self._kept is not None
        return self._kept

    def save(self, checkpoint: Checkpoint, *, best: bool = False) -> Path:
        """Remember it, with tensors of its own: those of the running model change with every step."""
        if checkpoint.step == self._step:
            self._kept = copy.deepcopy(checkpoint)
        return self.folder


class Recording:
    """A `Reporter` that turns reports into events. `factor` (step → factor) shapes the rate through `set` commands."""

    id = "zoo"

    def __init__(self, clock: Callable[[], float], factor: Callable[[int], float] | None = None) -> None:
        self.events: list[dict[str, Any]] = []
        self.stop_at: int | None = None
        """The last step before this recording asks its worker to stop."""
        self._clock = clock
        self._factor = factor
        self._step = 0
        self._smoothed: float | None = None
        self._last_time: float | None = None
        self.smooth = 0.0
        """Share of the old value in the moving average that is logged in place of the loss."""
        self.only: frozenset[str] = frozenset()
        """Series that are kept; empty: all."""

    def log(self, values: Mapping[str, Any], step: int | None = None) -> None:
        """One line of metrics, as compact as keeps what the rules can see."""
        self._step = step or 0
        kept = {name: self._shown(name, value) for name, value in values.items() if self._keeps(name)}
        if kept:
            self.add({"type": "metrics", "step": step, "time": round(self._clock(), 2), **kept})

    def _keeps(self, name: str) -> bool:
        return name in self.only if self.only else name not in LEFT_OUT

    def _shown(self, name: str, value: float) -> float:
        if name == "train/loss" and self.smooth:
            # An average that has once seen NaN stays NaN, as everybody's does.
            old = value if self._smoothed is None else self._smoothed
            value = self._smoothed = self.smooth * old + (1.0 - self.smooth) * value
        return rounded(value)

    def add(self, event: dict[str, Any]) -> None:
        """One event more, and before it what the server would have said of a silence."""
        time = event.get("time", self._last_time)
        if self._last_time is not None and time is not None:
            # What the server says of a live run that sends nothing, at the moments at which the rules look.
            waited = [moment for moment in MOMENTS if moment < time - self._last_time]
            self.events += [{"type": "clock", "time": round(self._last_time + moment, 2)} for moment in waited]
        self._last_time = time
        self.events.append(event)

    def update_config(self, settings: Mapping[str, Any]) -> None:
        """Settings that became known."""
        self.add({"type": "config", "config": dict(settings)})

    def data(self, facts: Mapping[str, Any], step: int | None = None) -> None:
        """What is known of the data from this step on; the name of the data set is in the config."""
        self.add({"type": "data", "step": step, **{name: kept for name, kept in facts.items() if name != "dataset"}})

    def sample(self, prompt: str, text: str, step: int | None = None, **measures: float) -> None:
        """A text that the model wrote, and what was measured of it."""
        self.add({"type": "sample", "step": step, "prompt": prompt, "text": text, **measures})

    def checkpoint(self, path: str, step: int, val_loss: float | None = None, best: bool = False) -> None:
        """Only that there is one: where it lies is nobody's business."""
        self.add({"type": "checkpoint", "step": step, "path": "kept in memory", "best": best})

    def alert(self, title: str, text: str = "", level: str = "warning", step: int | None = None) -> None:
        """Nothing that a recording can meet raises one."""
        raise RuntimeError(f"a recording met an alert: {title}: {text}")

    def commands(self) -> Sequence[Mapping[str, Any]]:
        """The stop that a resume begins with, and the rate of the next step."""
        if self.stop_at is not None and self._step >= self.stop_at:
            self.stop_at = None
            return [{"id": 1, "kind": "stop", "args": {}}]
        if self._factor is None:
            return []
        return [{"id": 2, "kind": "set", "args": {"learning_rate_factor": self._factor(self._step + 1)}}]

    def flush(self, timeout: float) -> int:
        """There is no server to wait for."""
        return 0

    def acknowledge(self, command_id: int, ok: bool, text: str, step: int | None = None) -> None:
        """A command that was refused makes the recording worthless."""
        if not ok:
            raise RuntimeError(f"a command of the recording was refused: {text}")

    def rewind(self, step: int) -> None:
        """The run goes on from there."""
        self._step = step
        self.add({"type": "rewind", "step": step})

    def finish(self, state: str = "finished", reason: str = "") -> None:
        """The end."""
        self.add({"type": "state", "state": state})


def rounded(value: float) -> float:
    """Five significant digits; what is not finite stays as it is."""
    return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else value
