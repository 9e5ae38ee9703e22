"""The rule `data-starved`: steps that spend their time waiting for their batch."""

from __future__ import annotations

from diagnostics import say, stats
from diagnostics.finding import Cause, Evidence, Remedy, Severity, Sighting
from diagnostics.rule import Life, rule
from diagnostics.series import SeriesView
from diagnostics.view import RunView


@rule(
    "data-starved",
    needs=(("data_seconds",), ("step_seconds",)),
    helps=("gpu_utilization",),
    blind="how long steps wait for data cannot be seen",
    clock="data_seconds",
    severity=Severity.WARNING,
    life=Life(open_after_looks=2, close_after_points=60),
)
def data_starved(
    view: RunView, *, share: float = 0.25, most: float = 0.5, points: int = 40, least_seconds: float = 0.01
) -> Sighting | None:
    """Steps spend much of their time waiting for their batch.

    ## What it means
    The device is done and the next batch is not there. What is paid for is the waiting.

    ## Why it matters
    It is the commonest reason for slow training, and the easiest to mend.

    ## How it is detected
    Over the last `points` points the median wait for a batch is more than `share` of the median time of a step (info)
    or more than `most` of it (warning), and longer than `least_seconds`: below that, steps are so short that it does
    not matter. The first 20 points are left out: loaders start, caches fill.

    ## Likely causes
    - Too few loader processes, or none; no batch is made ahead.
    - Tokenizing while training instead of before it.
    - A slow or remote disk; many small files.

    ## What to do
    - Tokenize once, keep the tokens in one memory-mapped file.
    - Load in several processes and make batches ahead; pin memory.
    - Put the data on a local disk.

    ## When it is wrong
    Some loggers count what the device still computes as waiting, because the device runs behind. Then utilisation is
    high, and nothing is said above 80 % of it.

    ## Options
    - `share` (0.25): wait ÷ step, for info.
    - `most` (0.5): wait ÷ step, for a warning.
    - `points` (40): last points.
    - `least_seconds` (0.01): seconds.

    ## Example
    Fires:
        perf/step_seconds: 0.4*80
        perf/data_seconds: 0.3*80
    Silent:
        perf/step_seconds: 0.4*80
        perf/data_seconds: 0.02*80

    ## References
    - PyTorch, Performance Tuning Guide (enable asynchronous data loading).
    """
    wait, step = view.get("data_seconds"), view.get("step_seconds")
    if wait is None or step is None or min(wait.size, step.size) < points + 20:
        return None
    waited, took = stats.median(wait.values[-points:]), stats.median(step.values[-points:])
    # A step that was timed without its wait is as long as both together.
    part = waited / max(took, waited) if waited <= took else waited / (took + waited)
    if waited < least_seconds or part < share:
        return None
    busy = view.get("gpu_utilization")
    if busy is not None and stats.median(busy.values[-points:]) > 80:
        return None
    return _sighting(wait, points, waited, took, part, most)


def _sighting(wait: SeriesView, points: int, waited: float, took: float, part: float, most: float) -> Sighting:
    severity = Severity.WARNING if part > most else Severity.INFO
    first = int(wait.steps[-points])
    sentence = f"A step waits {say.number(waited)} s for its batch and takes {say.number(took)} s."
    return Sighting(
        severity=severity,
        title=f"Starved of data since step {{since}}: {say.percent(part)} of a step is waiting for its batch",
        first_step=first,
        evidence=(
            Evidence(
                series=wait.name,
                window=(first, wait.last_step),
                observed=waited,
                limit=most * took,
                sentence=sentence,
            ),
        ),
        causes=(
            Cause("no batch is made ahead", "too few loader processes, or none"),
            Cause("work that belongs before training", "tokenizing or decoding happens in the loader"),
            Cause("slow disk", "remote or small files are read at each step"),
        ),
        remedies=(
            Remedy("Load in several processes and make batches ahead of the step."),
            Remedy("Tokenize once and read the tokens from one memory-mapped file."),
            Remedy("Put the data on a local disk."),
        ),
        confidence=0.9 if severity is Severity.WARNING else 0.6,
    )
