"""The rule `update-ratio`: steps that change the weights far more, or far less, than training that works."""

from __future__ import annotations

from dataclasses import replace

from diagnostics import say, stats
from diagnostics.finding import Cause, Evidence, Remedy, Severity, Sighting
from diagnostics.progress import read_progress
from diagnostics.reach import MEASURED, barely_moved
from diagnostics.rule import Life, rule
from diagnostics.series import SeriesView
from diagnostics.view import RunView


@rule(
    "update-ratio",
    needs=(("update_ratio",),),
    helps=("learning_rate", "train_loss"),
    blind="how far each step moves the weights cannot be seen",
    clock="update_ratio",
    severity=Severity.INFO,
    life=Life(open_after_looks=2, close_after_points=10),
)
def update_ratio(
    view: RunView, *, high: float = 0.1, low: float = 1e-5, points: int = 10, held: float = 5.0
) -> Sighting | None:
    """Each step changes the weights far more, or far less, than about a thousandth.

    ## What it means
    Training that works moves the weights by about a thousandth of their size a step: measured runs lie between 0.0005
    and 0.02. A tenth a step writes the model anew every few steps; a hundred-thousandth leaves it as it began.

    ## Why it matters
    It says whether the rate fits the size of the weights, which neither the rate nor the loss says alone.

    ## How it is detected
    The median of the last `points` ratios (norm of the update ÷ norm of the weights) is above `high`, or below `low`
    while the rate is at a third of its peak or more. That is info. It is a warning when, in a run from scratch, every ratio
    so far, two and more, the first within 100 steps, is less than `held` times the rate of its step (the first one less than
    seven fifths of that, while the rates of all steps sum up to no more than 0.1), and less than 4 % of
    the first loss and of the loss of knowing nothing was gained: Adam moves each weight that it holds by about the rate, and fresh weights are
    about a thirtieth, so that a model that is trained as a whole moves by 10 to 30 times the rate. Weights that grow move by less of their
    size: times a thirtieth and the sum of the rates so far, which is how large they can be, it must be less than 0.4.

    ## Likely causes
    - Learning rate too high or too low for this size of weights.
    - Weights that start far too small or too large.
    - Below: most of the model is frozen, or was not given to the optimizer.

    ## What to do
    - Change the rate by the factor that is missing, and look again after 100 steps.
    - Check that every parameter is in a group of the optimizer.

    ## When it is wrong
    Adapters that start at zero have a large ratio at first; a model that is nearly done needs small steps only. Weights
    that begin ten times larger than usual move by less of their size: then the loss falls nevertheless.

    ## Options
    - `high` (0.1): update ÷ weight above which it speaks.
    - `low` (1e-5): update ÷ weight below which it speaks.
    - `points` (10): last ratios.
    - `held` (5): times the rate that a step changes the weights by, at least, if all of them are trained.

    ## Example
    Fires:
        train/update_ratio: 0.3*30
    Silent:
        train/update_ratio: 0.03 0.02 0.01 0.005 0.003 0.002 0.001*30

    ## References
    - Karpathy, CS231n: Ratio of weights and updates.
    """
    ratio = view.get("update_ratio")
    if ratio is None:
        return None
    seen = read_progress(view)
    times = barely_moved(view, seen, held) if seen is not None else None
    if times is not None:
        return _held_sighting(view, ratio, times, held)
    if ratio.values.size < points:
        return None
    now = stats.median(ratio.values[-points:])
    if now > high:
        return _sighting(ratio, points, now, high)
    if 0 <= now < low and view.rate_share >= 0.33:
        return _sighting(ratio, points, now, low)
    return None


def _held_sighting(view: RunView, ratio: SeriesView, times: float, held: float) -> Sighting:
    first = int(ratio.first_points[0][0])
    seen = _sighting(ratio, min(MEASURED, ratio.values.size), ratio.last, 0.0)
    sentence = (
        f"The first steps changed the weights by at most {say.number(times)} times the learning rate; "
        "10 to 30 times is what they are changed by where all of them are trained."
    )
    evidence = Evidence(
        series=ratio.name, window=(first, ratio.last_step), observed=times, limit=held, sentence=sentence
    )
    frozen = Cause("most of the model is not trained", "frozen, or never given to the optimizer")
    return replace(
        seen,
        severity=Severity.WARNING,
        title=f"Most weights do not move: each step changes them by {say.number(times)} times the rate, and the loss does not fall",
        first_step=first,
        evidence=(evidence,),
        causes=(frozen, Cause("weights that begin far too large", "the same update is a smaller share of them")),
        remedies=(
            Remedy("Check that every parameter requires gradients and is in a group of the optimizer."),
            Remedy("Print the norm of each weight at the start."),
        ),
        confidence=0.8,
    )


def _sighting(ratio: SeriesView, points: int, now: float, limit: float) -> Sighting:
    first = int(ratio.steps[-points])
    large = now > limit
    side = "more" if large else "less"
    sentence = f"A step changes the weights by {say.number(now)} of their size, {side} than {say.number(limit)}; 1e-3 is usual."
    rate = Cause(
        f"learning rate too {'high' if large else 'low'}",
        "the update is the rate times about 1 for each weight with Adam",
    )
    size = Cause(f"weights too {'small' if large else 'large'}", "the same update is another share of other weights")
    frozen = Cause("most of the model is frozen", "or was never given to the optimizer")
    return Sighting(
        severity=Severity.INFO,
        title=f"Each step changes the weights by {say.number(now)} of their size since step {{since}}",
        first_step=first,
        evidence=(
            Evidence(series=ratio.name, window=(first, ratio.last_step), observed=now, limit=limit, sentence=sentence),
        ),
        causes=(rate, size) if large else (rate, frozen, size),
        remedies=(
            Remedy("Change the learning rate and look again.", {"learning_rate": "×0.1" if large else "×10"}),
            Remedy("Check that every parameter is in a group of the optimizer."),
        ),
        confidence=0.5,
    )
