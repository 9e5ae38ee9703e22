"""The rule `gpu-memory-pressure`: GPU memory that is nearly full, or on its way there."""

from __future__ import annotations

import itertools

from diagnostics import say, stats
from diagnostics.finding import Cause, Evidence, Remedy, Severity, Sighting
from diagnostics.rule import Life, rule
from diagnostics.series import SeriesView
from diagnostics.view import RunView


@rule(
    "gpu-memory-pressure",
    needs=(("gpu_memory_gib",), ("gpu_memory_total_gib",)),
    blind="how full the GPU's memory is cannot be seen",
    clock="gpu_memory_gib",
    severity=Severity.INFO,
    life=Life(open_after_looks=2, close_after_points=40),
)
def gpu_memory_pressure(
    view: RunView, *, full: float = 0.95, filling: float = 0.85, growth: float = 0.05, points: int = 20
) -> Sighting | None:
    """The GPU's memory is nearly full, or grows towards it.

    ## What it means
    There is little room left for a longer text, an evaluation or a sample; memory that grows with every step ends in an
    out-of-memory error, only later.

    ## Why it matters
    The run dies in the middle, often hours after the start, at the first batch that is a little larger.

    ## How it is detected
    The median of the last `points` peaks is above `full` of the memory: info. Memory that is steadily full is used
    well. Above `filling`, and still growing over the last half of at least 200 points by `growth` of the whole memory
    without ever coming down: warning.

    ## Likely causes
    - Something is kept: losses with their graph, outputs collected for a metric, a cache.
    - Texts of different length: each longer one needs a larger block.
    - The batch is as large as just fits.

    ## What to do
    - Log numbers with `.item()`; detach what is kept.
    - A smaller batch with more accumulation steps; activation checkpointing; mixed precision.

    ## When it is wrong
    Allocators that take all memory at the start are always full.

    ## Options
    - `full` (0.95): share of the memory, for info.
    - `filling` (0.85): share of the memory from which growth is judged.
    - `growth` (0.05): share of the memory gained over the last half of the run.
    - `points` (20): last peaks.

    ## Example
    Fires:
        gpu/memory_gib: 23.5*40
        gpu/memory_total_gib: 24*40
    Silent:
        gpu/memory_gib: 18*40
        gpu/memory_total_gib: 24*40

    ## References
    - PyTorch, Understanding CUDA Memory Usage.
    """
    used, total = view.get("gpu_memory_gib"), view.get("gpu_memory_total_gib")
    if used is None or total is None or used.values.size < points or total.last <= 0:
        return None
    now = stats.median(used.values[-points:])
    gained = _gained(used)
    if now > filling * total.last and gained > growth * total.last:
        return _sighting(used, Severity.WARNING, now, total.last, filling, gained)
    if now > full * total.last:
        return _sighting(used, Severity.INFO, now, total.last, full, 0.0)
    return None


def _gained(used: SeriesView) -> float:
    """GiB gained over the last half of the run, if memory grew all the time; 0 before 200 points."""
    if used.size < 200:
        return 0.0
    curve = used.curve[used.curve.size // 2 :]
    quarters = [stats.median(part) for part in (curve[:8], curve[8:16], curve[16:24], curve[24:])]
    growing = all(later > earlier for earlier, later in itertools.pairwise(quarters))
    return quarters[-1] - quarters[0] if growing and stats.mann_kendall(curve) > 5 else 0.0


def _sighting(used: SeriesView, severity: Severity, now: float, total: float, share: float, gained: float) -> Sighting:
    growing = severity is Severity.WARNING
    first = int(used.blocks[0][0, 0]) if growing else int(used.steps[max(-20, -used.steps.size)])
    words = f" and grew by {say.number(gained)} GiB over the last half of the run" if growing else ""
    sentence = f"{say.number(now)} of {say.number(total)} GiB are in use{words}."
    kept = Cause("something is kept", "losses with their graph, collected outputs, a cache")
    lengths = Cause("texts of different length", "each longer one needs a larger block")
    batch = Cause("the batch is as large as just fits", "a little more at an evaluation or a sample will not")
    return Sighting(
        severity=severity,
        title=f"GPU memory {'grows and ' if growing else ''}is {say.percent(now / total)} full",
        first_step=first,
        evidence=(
            Evidence(
                series=used.name, window=(first, used.last_step), observed=now, limit=share * total, sentence=sentence
            ),
        ),
        causes=(kept, lengths, batch) if growing else (batch, lengths, kept),
        remedies=(
            Remedy(
                "Halve the batch and double the accumulation steps.", {"batch_size": "×0.5", "accumulation_steps": "×2"}
            ),
            Remedy("Log numbers with .item(), and detach what is kept."),
        ),
        confidence=0.8 if growing else 0.5,
    )
