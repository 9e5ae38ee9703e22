"""Made-up runs to which everything happens: a strategy for properties that must hold whatever a trainer logs.

A story is a list of chapters (what happens, for how long, a seed), so that hypothesis can shrink it to the chapter at fault
and rules still have enough rows in a row to fire on. Which rows there are depends on the chapters alone.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from hypothesis import strategies as st

Event = dict[str, Any]

PLAIN = ("falls", "falls", "flat", "spike", "climbs", "nan", "zero", "sparse", "late", "sample", "checkpoint", "log",
         "rewind", "config", "ends", "timed", "silence")  # fmt: skip
"""What a store takes and gives back as it is."""
ODD = ("twice", "restarts", "again", "gaps", "words", "huge", "epochs")
"""What only a file brings."""

Chapter = tuple[str, int, int]


def stories(kinds: tuple[str, ...] = PLAIN + ODD, *, longest: int = 150) -> st.SearchStrategy[list[Event]]:
    """Events of a run of up to eight chapters, each of up to `longest` rows."""
    chapter = st.tuples(st.sampled_from(kinds), st.integers(1, longest), st.integers(0, 9))
    return st.lists(chapter, min_size=1, max_size=8).map(tell)


def tell(chapters: list[Chapter]) -> list[Event]:
    """The events of a story."""
    return _Teller().tell(chapters)


class _Teller:
    def __init__(self) -> None:
        self.step, self.loss, self.events = 0, 8.0, list[Event]()
        self.now: float | None = None
        self.epoch: float | None = None

    def tell(self, chapters: list[Chapter]) -> list[Event]:
        for kind, length, seed in chapters:
            self.rng = np.random.default_rng(seed)
            getattr(self, f"_{kind}", self._train)(kind, length)
        return self.events

    def _row(self, loss: float | None, *, step: int | None = None, every: int = 10) -> Event:
        at = self.step if step is None else step
        row: Event = {"type": "metrics", "step": at}
        if loss is not None:
            row |= {"train/loss": loss, "train/grad_norm": float(self.rng.lognormal()), "lr": 1e-3, "junk": 1.0}
        if at % every == 0:
            row["val/loss"] = self.loss + 0.1
        if step is None:
            self.step += 1
        if self.now is not None:
            self.now += float(self.rng.exponential())
            row["time"] = self.now
        if self.epoch is not None and at % 3:
            self.epoch += 0.02
            row["epoch"] = round(self.epoch, at % 2 + 1)
        self.events.append(row)
        return row

    def _train(self, kind: str, length: int) -> None:
        """Rows in which the loss does what the chapter is called."""
        drift = {"falls": -0.02, "climbs": 0.06, "spike": 0.0, "flat": 0.0}.get(kind, 0.0)
        for at in range(length):
            self.loss = max(0.5, self.loss * (1 + drift))
            loss = self.loss + float(self.rng.normal(0, 0.03)) + (5.0 if kind == "spike" and at < 12 else 0.0)
            self._row({"nan": math.nan, "zero": 0.0}.get(kind, loss))
        if kind == "nan" and length % 3 == 0:
            self.events[-1]["train/grad_norm"] = math.inf

    def _sparse(self, _: str, length: int) -> None:
        """Rows of which few hold the losses, as tables with rows for evaluations do."""
        for at in range(length):
            loss = self.loss + float(self.rng.normal(0, 0.03))
            row = self._row(loss if at % 4 == 0 else None, every=7)
            if at % 4 == 1:
                row["perf/tokens_per_second"] = float(self.rng.normal(1000, 5))
            if at % 14 == 6 and "val/loss" in row:
                row["train/loss"] = math.nan

    def _late(self, _: str, length: int) -> None:
        for _ in range(length):
            late = int(self.rng.integers(0, 3)) if self.rng.random() < 0.3 else 0
            self._row(self.loss, step=max(0, self.step - late))
            self.step += 1

    def _twice(self, _: str, length: int) -> None:
        for _ in range(length):
            self.events.append(dict(self._row(self.loss + float(self.rng.normal(0, 0.03)))))

    def _restarts(self, _: str, length: int) -> None:
        """The counter begins again, the loss goes on."""
        self.step = 0 if length % 2 else self.step // 2
        self._train("falls", length)

    def _again(self, _: str, length: int) -> None:
        """Another run in the same file."""
        self.step, self.loss = 0, 8.0
        self._train("falls", length)

    def _gaps(self, _: str, length: int) -> None:
        """Rows without a step, integers, numbers by name, rows without numbers."""
        for at in range(length):
            row = self._row(self.loss)
            if at % 3 == 0:
                del row["step"]
            row |= [{"lr": 1}, {"train/loss": "NaN"}, {"train/loss": None}, {f"new-{at}": 1.0}, {}][at % 5]
            if at % 7 == 6:
                self.events.append({"type": "metrics", "step": self.step, "junk": 2.0})

    def _words(self, _: str, length: int) -> None:
        self.events += [{"train/loss": "n/a", "step": self.step}, {"type": "song", "n": length}, {"loss": True}]

    def _huge(self, _: str, length: int) -> None:
        self._row(self.loss, step=10 ** (length % 30))

    def _timed(self, _: str, length: int) -> None:
        """From here on rows have times, or have them no more."""
        self.now = 1e9 + length if self.now is None else None

    def _epochs(self, _: str, length: int) -> None:
        """From here on rows have epochs; told again, they begin anew, or a little back."""
        self.epoch = (0.0 if length % 3 else self.epoch * 0.8) if self.epoch is not None else 0.1
        self._train("falls", length)

    def _silence(self, _: str, length: int) -> None:
        if self.now is not None:
            self.now += 100 * length if length % 5 else -70

    def _sample(self, _: str, length: int) -> None:
        for at in range(4):
            text = "the same words again " * 30 if length % 2 else f"some other text {at} {length}"
            self.events.append({"type": "sample", "step": self.step, "prompt": "A", "text": text})

    def _checkpoint(self, _: str, length: int) -> None:
        self.events.append({"type": "checkpoint", "step": self.step, "path": f"ckpt-{length}"})

    def _log(self, _: str, length: int) -> None:
        self.events.append({"type": "log", "stream": "stderr", "text": f"RuntimeError: {length}"})

    def _rewind(self, _: str, length: int) -> None:
        self.step = max(0, self.step - length)
        self.events.append({"type": "rewind", "step": self.step})
        self.step += 1

    def _config(self, _: str, length: int) -> None:
        self.events.append({"type": "config", "config": {"vocab_size": 3000, "max_steps": 10 * length}})

    def _ends(self, _: str, length: int) -> None:
        state = ("finished", "crashed", "running")[length % 3]
        kind = "left" if length % 4 == 3 else "state"  # of one process of several, or of the run
        self.events.append({"type": kind, "state": state, "reason": "killed", "exit_code": -9})
