"""The rule `slow-training`: throughput that fell far below what the same run has shown."""

from __future__ import annotations

import numpy as np

from diagnostics import say, stats
from diagnostics.finding import Cause, Evidence, Remedy, Severity, Sighting
from diagnostics.history import Floats
from diagnostics.rule import Life, rule
from diagnostics.series import SeriesView
from diagnostics.view import RunView

STARTING = 10
"""First points that are no measure: compilation, caches, clocks of a device that has not caught up."""
COLLAPSE = 0.25
"""Throughput ÷ best below which it is a warning: a machine that two runs share does not explain a quarter."""


SHORT = 10
"""Points of a window where there are few: their median is known well enough to tell a quarter from the whole."""


@rule(
    "slow-training",
    needs=(("tokens_per_second", "step_seconds"),),
    helps=("tokens_per_second", "step_seconds", "data_seconds"),
    blind="a run that becomes slow cannot be seen",
    clock="tokens_per_second",
    severity=Severity.WARNING,
    life=Life(close_after_points=60),
)
def slow_training(view: RunView, *, share: float = 0.7, window: int = 30, windows: int = 3) -> Sighting | None:
    """Training has become far slower than the same run was before.

    ## What it means
    Each token takes longer than it did. The model is not worse for it; the run ends later and costs more.

    ## Why it matters
    A slow loader, a leak or a device that throttles can double the bill of a run, and nobody looks at throughput.

    ## How it is detected
    The median throughput of each of the last `windows` windows of `window` points is below `share` of the best window
    before: info. Below a quarter of it: warning (of throughput that is logged rarely, windows of ten points are enough for that). Where steps are timed too, they must have become longer by as much, for a
    smaller batch gives fewer tokens in a shorter step. With step times alone it is info: a larger batch or longer
    texts make longer steps by design. Medians leave the steps with an evaluation out.

    ## Likely causes
    - The data loader does not keep up: see `data-starved`.
    - Something grows with every step: a list of losses that keeps its graph, a cache, a log.
    - Another process on the machine; a device that throttles by heat; swapping.

    ## What to do
    - Compare the wait for data with the time of a step.
    - Watch memory: if it grows, find what is kept (use `.item()` or `.detach()` for what is logged).
    - Look at who else uses the machine, and at the clock and temperature of the device.

    ## When it is wrong
    A batch or a text length that changes on purpose. A resume on a smaller machine is slow indeed.

    ## Options
    - `share` (0.7): throughput ÷ best.
    - `window` (30): points in a window.
    - `windows` (3): windows in a row.

    ## Example
    Fires:
        perf/tokens_per_second: 9000*100 2000*100
        perf/step_seconds: 0.11*100 0.5*100
    Silent:
        perf/tokens_per_second: 9000*100 2000*100
        perf/step_seconds: 0.11*100 0.03*100

    ## References
    - PyTorch, Performance Tuning Guide.
    """
    speed, seconds = view.get("tokens_per_second"), view.get("step_seconds")
    least = (windows + 1) * window + STARTING
    if speed is not None and (windows + 1) * SHORT + STARTING <= speed.values.size < least:
        window, share, least = min(window, SHORT), min(share, COLLAPSE), 0
    if speed is not None and speed.values.size >= least:
        best, now = _best(_medians(speed, window), windows)
        if not now < share * best:
            return None
        if seconds is not None and not _longer(seconds, window, windows, 1 / share):
            return None
        severity = Severity.WARNING if now < COLLAPSE * best else Severity.INFO
        return _sighting(view, speed, severity, best, now, share * best, windows * window)
    if speed is None and seconds is not None and seconds.values.size >= least:
        best, now = _best(1 / _medians(seconds, window), windows)
        if now < share * best:
            return _sighting(view, seconds, Severity.INFO, 1 / best, 1 / now, 1 / (share * best), windows * window)
    return None


def _medians(series: SeriesView, window: int) -> Floats:
    """Medians of whole windows, oldest first: those of the beginning, then those of the end, each point once."""
    tail = series.values
    early = series.first_points[1][: max(0, series.size - tail.size)][STARTING:]
    late = tail if early.size or series.size > tail.size else tail[STARTING:]
    parts = [part[part.size % window :].reshape(-1, window) for part in (early, late)]
    return stats.medians(np.vstack(parts))


def _best(medians: Floats, windows: int) -> tuple[float, float]:
    """(best throughput of any window before the last ones, best of the last ones)."""
    return float(medians[:-windows].max()), float(medians[-windows:].max())


def _longer(seconds: SeriesView, window: int, windows: int, factor: float) -> bool:
    """Whether steps take longer by a factor than in the quickest window before."""
    medians = _medians(seconds, window)
    return medians.size > windows and float(medians[-windows:].min()) > factor * float(medians[:-windows].min())


def _sighting(
    view: RunView, series: SeriesView, severity: Severity, best: float, now: float, limit: float, points: int
) -> Sighting:
    timed = series is view.get("step_seconds")
    slower = now / best if timed else best / now if now else float("inf")
    unit = "s a step" if timed else "tokens/s"
    first = int(series.steps[-points])
    sentence = f"{say.number(now)} {unit} at best in the last {points} points; it was {say.number(best)} before."
    wait, step = view.get("data_seconds"), view.get("step_seconds")
    starved = wait is not None and step is not None and step.level > 0 and wait.level > 0.3 * step.level
    loader = Cause(
        "the data loader does not keep up",
        "a good part of each step is spent waiting for data" if starved else "see how long a step waits for its batch",
    )
    grows = Cause("something grows with every step", "a kept graph, a cache or a log makes each step longer")
    shared = Cause("the machine is shared, throttles or swaps", "look at its load, its clocks and its free memory")
    return Sighting(
        severity=severity,
        title=f"Training became {slower:.1f} times slower since step {{since}}: {say.number(best)} → {say.number(now)} {unit}",
        first_step=first,
        evidence=(
            Evidence(
                series=series.name, window=(first, series.last_step), observed=now, limit=limit, sentence=sentence
            ),
        ),
        causes=(loader, grows, shared) if starved else (shared, grows, loader),
        remedies=(
            Remedy("Look at the machine: other processes, clocks, temperature, free memory."),
            Remedy("Log numbers with .item(), so that no graph is kept, and watch whether memory grows."),
            Remedy("Load data ahead of the step, in other processes."),
        ),
        confidence=0.85 if severity is Severity.WARNING else 0.5,
    )
