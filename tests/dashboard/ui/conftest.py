"""Fixtures for the pages: real services on a temporary store, and runs that look like life, well and sick.

The events go through `Collector.accept` and the findings come from the real watcher, so what the pages show here is what
they show in service. Nothing here starts a process.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from dashboard.app import create_services
from dashboard.records import State
from dashboard.settings import Settings
from runwell.wire import Batch
from trainer.presets import build

START = time.time() - 600.0
HOSTILE = '<img src=x onerror="window.hacked=1"> **bold** `${7*7}` {{7*7}} \u202egnp.exe $x^2$ %{x}'

Losses = Callable[[int], tuple[float, float | None]]


class Site:
    """Services on a store of one's own, and verbs that fill it."""

    def __init__(self, home: Path) -> None:
        settings = Settings(home=home, data=home / "data", database_url=f"sqlite:///{home / 'runwell.db'}")
        settings.data.mkdir(parents=True)
        self.services = create_services(settings)
        self._next: dict[str, int] = {}

    def send(self, run_id: str, events: Sequence[Mapping[str, Any]]) -> None:
        """Events of one writer, as a worker sends them."""
        first = self._next.get(run_id, 1)
        self._next[run_id] = first + len(events)
        self.services.collector.accept(run_id, Batch("w-test", first, tuple(dict(event) for event in events)))

    def run(
        self, run_id: str, losses: Losses, *, steps: int = 400, name: str = "", state: str | None = "finished",
        reason: str = "", tags: Sequence[str] = (), launched: bool = True, planned: int | None = None, every: int = 1,
        grad: Callable[[int], float] = lambda step: 1.0 + 0.2 * math.sin(step), config: Mapping[str, Any] | None = None,
    ) -> None:  # fmt: skip
        """A run of that many steps; `losses` gives (train, validation or None) at a step."""
        store = self.services.store
        settings = build(
            {"max_steps": planned or steps, "warmup_steps": max(1, steps // 20), **(config or {})}
        ).to_mapping()
        store.create_run(
            run_id, name=name or run_id, config=settings, tags=tags, launched=launched, state=State.RUNNING
        )
        began: dict[str, Any] = {
            "type": "run",
            "time": START,
            "project": "default",
            "name": name or run_id,
            "tags": list(tags),
        }
        self.send(run_id, [began | {"config": settings, "host": "box", "pid": 1}])
        events = [event for step in range(1, steps + 1, every) for event in _step(step, losses, grad)]
        for start in range(0, len(events), 500):
            self.send(run_id, events[start : start + 500])
        if state is not None:
            self.send(
                run_id,
                [{"type": "state", "state": state, "reason": reason, "step": steps, "time": START + steps * 0.4}],
            )

    def judge(self) -> None:
        """Let the real watcher look at everything that was sent."""
        self.services.watcher.start()
        self.services.watcher.drain(30.0)
        self.services.watcher.stop()


def _step(step: int, losses: Losses, grad: Callable[[int], float]) -> Iterator[dict[str, Any]]:
    train, val = losses(step)
    time = START + step * 0.4
    yield {
        "type": "metrics", "step": step, "time": time, "train/loss": train, "train/grad_norm": grad(step),
        "train/learning_rate": 1e-3 * min(1.0, step / 20), "perf/tokens_per_second": 21_000 + 900 * math.sin(step / 9),
        "train/tokens": step * 2048,
    }  # fmt: skip
    if val is not None:
        yield {"type": "metrics", "step": step, "time": time, "val/loss": val}


def healthy(seed: int = 1, floor: float = 2.1, every: int = 50) -> Losses:
    """A power-law fall with noise, validation a little above."""
    noise = random.Random(seed)

    def at(step: int) -> tuple[float, float | None]:
        level = floor + 6.2 * (1 + step / 12) ** -0.75
        return level + noise.gauss(0, 0.05), level + 0.09 if step % every == 0 else None

    return at


def overfit(seed: int = 2, turn: int = 160) -> Losses:
    """Training goes on falling while validation turns and climbs."""
    noise = random.Random(seed)

    def at(step: int) -> tuple[float, float | None]:
        train = 0.05 + 8.2 * math.exp(-step / 75) + 0.3 * math.exp(-step / 300)
        val = 2.4 + 5.9 * math.exp(-step / 50) + 0.006 * max(0, step - turn)
        return train + noise.gauss(0, 0.03), val if step % 20 == 0 else None

    return at


def diverging(seed: int = 3, onset: int = 120, nan_at: int = 150) -> Losses:
    """A fall, then a climb, then +Inf once and NaN ever after."""
    good, noise = healthy(seed), random.Random(seed)

    def at(step: int) -> tuple[float, float | None]:
        train, val = good(step)
        if step >= nan_at:
            return (math.inf if step == nan_at else math.nan), None
        return (train + 0.09 * (step - onset) + noise.gauss(0, 0.2) if step > onset else train), val

    return at


SAMPLES = (
    ("The import statement", "s of the the module a in and the of a is to in module\n    the is"),
    (
        "The import statement",
        " is used to find a module in the path of the\nnames that are defined, and it returns the module.\n\n    >>> import sys\n",
    ),
    ("def ", "e the self, and of return\n  a"),
    ("def ", 'get(self, key, default=None):\n    """Return the value for key if key is in the dictionary."""\n'),
)


def fill(site: Site) -> None:
    """One healthy run, one that overfits, one that turns to NaN, one that crashed, one hostile, one that is queued."""
    site.run("healthy", healthy(), name="python-docs minimal", steps=400, planned=800, state=None, tags=("baseline",))
    for index, (prompt, text) in enumerate(SAMPLES):
        site.send(
            "healthy",
            [{"type": "sample", "step": 100 + 200 * (index % 2), "prompt": prompt, "text": text, "time": START}],
        )
    site.send(
        "healthy",
        [
            {"type": "checkpoint", "step": step, "path": f"checkpoints/{step}", "time": START}
            for step in (100, 200, 300)
        ],
    )
    site.send(
        "healthy",
        [
            {"type": "log", "stream": "stdout", "text": f"step {i * 10}/800  loss {4 - i * 0.03:.3f}", "time": START}
            for i in range(40)
        ],
    )
    site.run("overfit", overfit(), name="tiny text, no dropout", config={"data_limit_characters": 20_000})
    site.run("nan", diverging(), name="rate far too high", steps=220, state="finished", config={"learning_rate": 0.3},
             grad=lambda step: 1.0 if step < 120 else math.nan if step >= 150 else 1.2 ** (step - 119))  # fmt: skip
    site.run(
        "crashed",
        healthy(7),
        name="out of memory",
        steps=90,
        planned=4000,
        state="crashed",
        reason="killed by SIGKILL (out of memory?)",
    )
    lines = (
        "Traceback (most recent call last):",
        '  File "loop.py", line 80, in train',
        "MemoryError: cannot allocate 3.1 GiB",
    )
    site.send("crashed", [{"type": "log", "stream": "stderr", "text": line, "time": START} for line in lines])
    site.run("hostile", healthy(9), name=HOSTILE, steps=60, tags=(HOSTILE,))
    site.send(
        "hostile",
        [{"type": "sample", "step": 50, "prompt": HOSTILE, "text": HOSTILE + "\n  indented\ttab", "time": START}],
    )
    site.send("hostile", [{"type": "log", "stream": "stdout", "text": HOSTILE, "time": START}])
    site.send("hostile", [{"type": "metrics", "step": 60, "time": START, "<b onclick=x>metric": 1.0}])
    site.services.store.create_run("waiting", name="queued one", config=build({}).to_mapping(), launched=True)
    site.judge()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """An empty site."""
    made = Site(tmp_path / "home")
    yield made
    made.services.store.close()


@pytest.fixture
def full_site(site: Site) -> Site:
    """A site with one run of each kind."""
    fill(site)
    return site
