"""Where the points of a series lie on another x axis than steps: tokens trained on, or time. Reads the store; draws nothing."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from dashboard.errors import Refused
from dashboard.records import Floats, Ints, Run, Series
from dashboard.roles import role_of
from dashboard.store import Store

AxisKind = Literal["step", "tokens", "time"]
AXES: tuple[AxisKind, ...] = ("step", "tokens", "time")

_KNOTS = 10_000
"""Rows read of the token counter: up to so many logged counts are exact, between more of them lies a straight line."""
_SIZES = ("batch_size", "accumulation_steps", "context_length")


@dataclass(frozen=True, slots=True)
class Places:
    """Where each row of a series lies on an x axis (its last point), and where its extremes do."""

    x: Ints | Floats
    min_x: Ints | Floats
    max_x: Ints | Floats


class TokenAxis:
    """How many tokens a run had been trained on at any step: from the counter that it logs, else from its config."""

    def __init__(self, store: Store, run: Run) -> None:
        """Read the counter. Raises Refused when neither it nor the config says how many tokens a step has."""
        self._steps, self._tokens = _counted(store, run)
        if not len(self._steps):
            self._steps, self._tokens = np.zeros(1), np.zeros(1)
            self._rate = tokens_per_step(store, run)
            if not self._rate:
                raise Refused(
                    f"run {run.id!r} has no token axis: it logs no token counter (such as train/tokens) and its config does not hold "
                    f"{', '.join(_SIZES)}; ask for x = step or x = time"
                )
            return
        if self._steps[0] > 0:
            self._steps, self._tokens = np.append(0.0, self._steps), np.append(0.0, self._tokens)
        self._rate = float(self._tokens[-1]) / float(self._steps[-1]) if self._steps[-1] > 0 else 0.0

    def at(self, steps: Ints) -> Floats:
        """Tokens at each of those steps; after the last count the run is taken to go on as fast as it went so far."""
        beyond = np.maximum(steps - self._steps[-1], 0) * self._rate
        found: Floats = np.interp(steps, self._steps, self._tokens) + beyond
        return found


def tokens_per_step(store: Store, run: Run) -> float:
    """Tokens in one optimizer step: from the logged counter, else from the config, else 0 (unknown)."""
    counter = _counter(store, run)
    if counter:
        series = store.series(run.id, counter, buckets=2)
        if len(series.step) and series.step[-1] > 0 and np.isfinite(series.last[-1]):
            return float(series.last[-1]) / float(series.step[-1])
    sizes = [run.config.get(key) for key in _SIZES]
    numbers = [float(size) for size in sizes if isinstance(size, (int, float))]
    return math.prod(numbers) if len(numbers) == len(sizes) else 0.0


def places(series: Series, kind: AxisKind, tokens: TokenAxis | None) -> Places:
    """Where a series lies; read it with `times` for the time axis, and give the run's `TokenAxis` for tokens."""
    if kind == "time":
        assert series.min_time is not None and series.max_time is not None
        return Places(series.time, series.min_time, series.max_time)
    if kind == "tokens":
        assert tokens is not None
        return Places(tokens.at(series.step), tokens.at(series.min_step), tokens.at(series.max_step))
    return Places(series.step, series.min_step, series.max_step)


def _counter(store: Store, run: Run) -> str | None:
    return next((name for name in store.series_names(run.id) if role_of(name) == "tokens"), None)


def _counted(store: Store, run: Run) -> tuple[Floats, Floats]:
    """Steps in order, each once, and the tokens counted at each; empty when the run counts none."""
    name = _counter(store, run)
    if name is None:
        return np.zeros(0), np.zeros(0)
    series = store.series(run.id, name, buckets=_KNOTS)
    steps = np.concatenate([series.min_step, series.max_step, series.step]).astype(float)
    tokens = np.concatenate([series.min, series.max, series.last])
    steps, tokens = steps[np.isfinite(tokens)], tokens[np.isfinite(tokens)]
    # Of several counts at one step the last named wins: the newest one that was logged.
    places, newest = np.unique(steps[::-1], return_index=True)
    return places, tokens[::-1][newest]
