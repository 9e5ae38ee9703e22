"""TensorBoard: tensorboardX's SummaryWriter (the one that needs no torch) writes, TensorBoard's own accumulator reads.

The page keeps at most 1,000 scalars of a series, chosen by a reservoir, unless it is started with `--samples_per_plugin`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlencode

from tensorboard.backend.event_processing import event_accumulator  # type: ignore[import-not-found]
from tensorboardX import SummaryWriter  # type: ignore[import-not-found]

from benchmarks.peers.serving import answer, free_port, started
from benchmarks.peers.tool import NAMES, Log, Row, no_server

PACKAGES = ("tensorboard", "tensorboardX")
serving = no_server
_PAGE_SCALARS = 1000


class _Log:
    def __init__(self, folder: Path) -> None:
        self.writer = SummaryWriter(str(folder))

    def log(self, values: dict[str, float], step: int) -> None:
        for name, value in values.items():
            self.writer.add_scalar(name, value, step)

    def pour(self, rows: Iterable[Row]) -> None:
        for step, values in rows:
            self.log(values, step)

    def finish(self) -> None:
        self.writer.close()


def begin(folder: Path, url: str) -> Log:
    """A new event file, flushed as by default."""
    return _Log(folder / "events")


def kept(folder: Path, url: str) -> set[int]:
    """Steps that every series has."""
    found = _read(folder, 0)
    there = set(found.Tags()["scalars"])
    series = [{event.step for event in found.Scalars(name)} for name in NAMES if name in there]
    return set.intersection(*series) if len(series) == len(NAMES) else set()


def drawn(folder: Path, url: str) -> list[float]:
    """What is left in the reservoir."""
    return [event.value for event in _read(folder, _PAGE_SCALARS).Scalars(NAMES[0])]


LINE = ".series-view canvas, .series-view svg path"


@contextmanager
def page(folder: Path, url: str, points: int) -> Iterator[str]:
    """The dashboard that its server opens with, once the server has read the last step of the file; charts are WebGL, or SVG without."""
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    series = f"{address}/data/plugin/scalars/scalars?{urlencode({'run': '.', 'tag': NAMES[0]})}"

    def read() -> bool:
        found = json.loads(answer(series) or b"[]")
        return bool(found) and found[-1][1] == points - 1

    command = ["--logdir", str(folder / "events"), "--host", "127.0.0.1", "--port", str(port)]
    with started("tensorboard.main", command, folder, read):
        yield f"{address}/#timeseries"


def _read(folder: Path, scalars: int) -> event_accumulator.EventAccumulator:
    found = event_accumulator.EventAccumulator(str(folder / "events"), size_guidance={"scalars": scalars})
    return found.Reload()


def size(folder: Path) -> int:
    """The event files."""
    return sum(path.stat().st_size for path in (folder / "events").iterdir())
