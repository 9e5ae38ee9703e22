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
_LATELY = 8
"""Counts from whose pace it is told how the run goes on after the last one: a batch may have grown long before."""
_MOST = 1e30
"""More tokens than any run sees: beyond that a counter counts something else, and its differences could overflow."""
_SIZES = ("batch_size", "accumulation_steps", "context_length")


@dataclass(frozen=True, slots=True)
class Places:
    """Where each row of a series lies on an x axis (its last point), and where its extremes do."""

    x: Ints | Floats
    min_x: Ints | Floats
    max_x: Ints | Floats


@dataclass(frozen=True, slots=True, eq=False)
class TokenCounts:
    """How many tokens a run had been trained on at any step. Columns of equal length, from step 0 on, each step once."""

    name: str
    """The series that counts them; empty when the config alone says how many a step has."""
    steps: Floats
    tokens: Floats
    rate: float
    """Tokens a step after the last count."""

    def at(self, steps: Ints | Floats) -> Floats:
        """Tokens at each of those steps; between two counts lies a straight line."""
        found: Floats = np.interp(steps, self.steps, self.tokens) + np.maximum(steps - self.steps[-1], 0) * self.rate
        return found

    def steps_at(self, tokens: float) -> float:
        """The step at which so many were counted; with a counter that once fell back, one of them."""
        if tokens > self.tokens[-1] and self.rate > 0:
            return float(self.steps[-1] + (tokens - self.tokens[-1]) / self.rate)
        return float(np.interp(tokens, np.maximum.accumulate(self.tokens), self.steps))


def token_counts(store: Store, run: Run, between: tuple[int, int] | None = None) -> TokenCounts | None:
    """From the counter that the run logs, else from its config; None when neither says how many tokens a step has.

    Counts logged `between` two steps are told as they were logged, if they are at most `_KNOTS`.
    """
    name = _counter(store, run)
    steps, tokens = _counted(store, run, name, between) if name else (np.zeros(0), np.zeros(0))
    if not len(steps):
        rate = _tokens_per_step_by_config(run)
        return TokenCounts("", np.zeros(1), np.zeros(1), rate) if rate else None
    if steps[0] > 0:
        steps, tokens = np.append(0.0, steps), np.append(0.0, tokens)
    before = max(0, len(steps) - 1 - _LATELY)
    length = float(steps[-1] - steps[before])
    rate = float(tokens[-1] - tokens[before]) / length if length > 0 else 0.0
    return TokenCounts(name or "", steps, tokens, max(rate, 0.0))


def need_token_counts(store: Store, run: Run) -> TokenCounts:
    """The same; raises Refused when it is not known."""
    found = token_counts(store, run)
    if found is None:
        raise Refused(
            f"run {run.id!r} has no token axis: it logs no token counter (such as train/tokens) and its config does not hold "
            f"{', '.join(_SIZES)}; ask for x = step or x = time"
        )
    return found


def has_tokens(store: Store, run: Run) -> bool:
    """Whether the run has a token axis."""
    return _counter(store, run) is not None or _tokens_per_step_by_config(run) > 0


def _tokens_per_step_by_config(run: Run) -> float:
    """0 when it does not say."""
    sizes = [run.config.get(key) for key in _SIZES]
    numbers = [float(size) for size in sizes if isinstance(size, (int, float)) and 0 < size <= _MOST]
    return math.prod(numbers) if len(numbers) == len(sizes) else 0.0


def places(series: Series, kind: AxisKind, tokens: TokenCounts | None) -> Places:
    """Where a series lies; read it with `times` for the time axis, and give the run's counts for tokens."""
    if kind == "time":
        assert series.min_time is not None and series.max_time is not None
        return Places(series.time, series.min_time, series.max_time)
    if kind == "tokens":
        assert tokens is not None
        return Places(tokens.at(series.step), tokens.at(series.min_step), tokens.at(series.max_step))
    return Places(series.step, series.min_step, series.max_step)


def _counter(store: Store, run: Run) -> str | None:
    return next((name for name in store.series_names(run.id) if role_of(name) == "tokens"), None)


def _counted(store: Store, run: Run, name: str, between: tuple[int, int] | None) -> tuple[Floats, Floats]:
    """Steps in order, each once, and the tokens counted at each."""
    parts = [store.series(run.id, name, buckets=_KNOTS)]
    if between is not None and bool((parts[0].count > 1).any()):
        parts.append(store.series(run.id, name, start=between[0], stop=between[1], buckets=_KNOTS))
    steps = np.concatenate([column for one in parts for column in (one.min_step, one.max_step, one.step)]).astype(float)
    tokens = np.concatenate([column for one in parts for column in (one.min, one.max, one.last)])
    sensible = np.abs(tokens) <= _MOST  # no NaN is, and no infinity
    steps, tokens = steps[sensible], tokens[sensible]
    # Of several counts at one step the last named wins: the newest one that was logged.
    places, newest = np.unique(steps[::-1], return_index=True)
    return places, tokens[::-1][newest]
