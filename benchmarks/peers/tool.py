"""What a tracker must be able to do to be measured, and the stream that all of them are given. Standard library only."""

from __future__ import annotations

import importlib
import math
import random
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Protocol

TOOLS: Mapping[str, str] = {
    "runwell": "Runwell",
    "trackio": "Trackio",
    "tensorboard": "TensorBoard SummaryWriter",
    "mlflow": "MLflow server on SQLite",
    "wandb": "W&B offline",
    "sqlite": "raw SQLite",
}
"""Name → what the table calls it; each is a module `in_NAME` beside this one."""
NAMES = (
    "train/loss",
    "train/grad_norm",
    "train/learning_rate",
    "train/tokens_per_second",
    "data_seconds",
    "gpu_memory",
)
Row = tuple[int, dict[str, float]]
SPIKES = 100
SPIKE_FLOOR = 1000.0


class Log(Protocol):
    """A run that is being logged."""

    def log(self, values: dict[str, float], step: int) -> None:
        """As a training loop calls it."""

    def pour(self, rows: Iterable[Row]) -> None:
        """All of them by the fastest way that the tool's documentation names."""

    def finish(self) -> None:
        """End the run, and come back when all of it is kept."""


class StepLog:
    """The log of a tracker whose run takes `log(values, step=…)`: pouring is the same call. `end` is its `finish`."""

    def __init__(self, run: Any, **end: float) -> None:
        self.run, self.end = run, end

    def log(self, values: dict[str, float], step: int) -> None:
        self.run.log(values, step=step)

    def pour(self, rows: Iterable[Row]) -> None:
        for step, values in rows:
            self.run.log(values, step=step)

    def finish(self) -> None:
        self.run.finish(**self.end)


@contextmanager
def no_server(folder: Path) -> Iterator[str]:
    """The `serving` of a tool that writes to files by itself."""
    yield ""


class Tool(Protocol):
    """A module `in_…`: one tracker."""

    PACKAGES: tuple[str, ...]
    """Distributions whose versions the table names."""

    def serving(self, folder: Path) -> AbstractContextManager[str]:
        """Its server, where it has one, for the time of a measurement; the URL."""

    def begin(self, folder: Path, url: str) -> Log:
        """A new run, kept in that folder."""

    def kept(self, folder: Path, url: str) -> set[int]:
        """The steps of which all numbers can be read back."""

    drawn: Callable[[Path, str], list[float]] | None
    """The numbers of the first series that its own page gets for a chart of the whole; None when it has no page."""

    page: Callable[[Path, str, int], AbstractContextManager[str]] | None
    """Its own page, served while the block lasts: the address that draws the first series of so many steps; None when it has no page."""

    LINE: str
    """CSS selector of what that page draws the series with: paths of an SVG, or canvases."""

    def size(self, folder: Path) -> int:
        """Bytes of what is kept, once the server has ended."""


def tool(name: str) -> Tool:
    """The module of that tracker. Raises ImportError when the interpreter does not have it."""
    return importlib.import_module(f"benchmarks.peers.in_{name}")


def stream(steps: int) -> Iterator[Row]:
    """Losses that fall and twitch, float32 as tensors give them."""
    rng = random.Random(0)
    for step in range(steps):
        level = 4 * math.exp(-step / steps)
        yield step, {name: _single(level + rng.gauss(0, 0.1)) for name in NAMES}


def spiked(steps: int) -> Iterator[Row]:
    """One such series in which `SPIKES` single steps stand out, no two alike and none closer than 0.2 % of the steps."""
    rng = random.Random(1)
    part = steps // SPIKES
    tall = {part * number + rng.randrange(part * 4 // 5): SPIKE_FLOOR + number for number in range(SPIKES)}
    for step, values in stream(steps):
        yield step, {NAMES[0]: tall.get(step, values[NAMES[0]])}


def spikes_in(drawn: Iterable[float]) -> int:
    """How many of the spikes are among those numbers."""
    return len({value for value in drawn if SPIKE_FLOOR <= value < SPIKE_FLOOR + SPIKES and value == int(value)})


def _single(value: float) -> float:
    found: float = struct.unpack("f", struct.pack("f", value))[0]
    return found
