"""The rule `exploding-gradients`: gradient norms that grow by orders of magnitude and stay there."""

from __future__ import annotations

from diagnostics import say, stats
from diagnostics.finding import Cause, Evidence, Remedy, Severity, Sighting
from diagnostics.history import Floats
from diagnostics.rule import Life, rule
from diagnostics.series import SeriesView
from diagnostics.view import RunView

CALM = 20
"""Norms before a climb from which on it has to last one point longer."""


@rule(
    "exploding-gradients",
    needs=(("grad_norm",),),
    helps=("train_loss",),
    blind="exploding gradients cannot be seen",
    clock="grad_norm",
    severity=Severity.WARNING,
    life=Life(close_after_points=20),
)
def exploding_gradients(
    view: RunView, *, growth: float = 10.0, recent: int = 20, before: int = 200, least: float = 5.0, climb: float = 50.0
) -> Sighting | None:
    """The gradient norm grows by orders of magnitude.

    ## What it means
    Small changes of the weights change the loss enormously: the run has come into a region where steps overshoot.

    ## Why it matters
    It usually comes just before the loss spikes or turns to NaN, so it is the moment to act.

    ## How it is detected
    The median of the last `recent` norms is more than `growth` times the median of the `before` ones and above
    `least`. With few points: each of the last two norms (three, after 20 others) at least triples the one before, over all by a
    factor of `climb`, to more than 20. If the loss goes on falling undisturbed it is only info, unless the norm passes 100. With a
    loss that climbs too, it is critical. A lone outlier, even 55 times the median, is healthy and stays silent.

    ## Likely causes
    - Learning rate too high.
    - No clipping; no normalisation or residual paths in a deep model.
    - Bad initialisation.

    ## What to do
    - Clip gradients at 1.0; lower the rate; lengthen the warm-up.
    - In a model of one's own: pre-norm, residual connections, scaled initialisation.

    ## When it is wrong
    Norms that are summed over devices or scaled by a loss scaler jump when those change.

    ## Options
    - `growth` (10): last norms ÷ earlier norms.
    - `recent` (20): last norms.
    - `before` (200): earlier norms.
    - `least` (5): a norm below this is not exploding, however small it was before.
    - `climb` (50): growth over all with few points.

    ## Example
    Fires:
        train/grad_norm: 10 100 1000
    Silent:
        train/grad_norm: 1.2 1.0 1.1 0.9 55 1.0 1.1 0.9 1.2 1.0

    ## References
    - Pascanu et al., On the difficulty of training recurrent neural networks, 2013.
    """
    grad = view.get("grad_norm")
    if grad is None or grad.size < 3:
        return None
    values = grad.values
    now, then = stats.median(values[-recent:]), stats.median(values[-recent - before : -recent])
    grown = values.size >= 2 * recent and now > growth * then and now > least
    if grown:
        first = int(grad.steps[-recent])
        return _sighting(view, grad, first, now, growth * then, then)
    steep = _steep_climb(values, climb)
    if steep is None:
        return None
    start, base = steep
    return _sighting(view, grad, int(grad.steps[start]), float(values[-1]), climb * base, base)


def _steep_climb(values: Floats, climb: float) -> tuple[int, float] | None:
    """(index where the last norms began to climb step by step, the level there), when it is by orders of magnitude."""
    end = values.size - 1
    start = end
    while start > max(0, end - 12) and values[start] >= 3 * values[start - 1] > 0:
        start -= 1
    top = float(values[end]) if end >= 0 else 0.0
    # After a calm stretch two norms are a lone outlier and its echo; at the start of a log they are all there is.
    if end - start < (3 if start >= CALM else 2) or top <= 20:
        return None
    before = values[max(0, start - 20) : start + 1]
    base = max(float(values[start]), stats.median(before))
    return (start, base) if top >= climb * base else None


def _loss_state(view: RunView, step: int) -> str:
    """`climbs`, `falls` or `unknown` since a step."""
    train = view.train
    if train is None or train.size < 4:
        return "unknown"
    if not bool((train.raw_values[-3:] - train.raw_values[-3:] == 0).all()):
        return "climbs"
    recent, earlier = stats.median(train.values[-3:]), train.near(step)
    margin = max(0.05 * abs(train.best.value), 3 * train.noise)
    if recent > max(train.best.value, 0.0) + margin and recent >= earlier:
        return "climbs"
    return "falls" if recent < train.start - margin and recent <= train.best.value + margin else "unknown"


def _sighting(view: RunView, grad: SeriesView, first: int, observed: float, limit: float, before: float) -> Sighting:
    state = _loss_state(view, first)
    severity = Severity.WARNING
    if state == "climbs" and observed > 20:
        severity = Severity.CRITICAL
    elif state == "falls" and observed <= 100:
        severity = Severity.INFO
    sentence = f"The gradient norm grew from {say.number(before)} to {say.number(observed)}, {observed / before if before else 0:,.0f} times."
    evidence = Evidence(
        series=grad.name, window=(first, grad.last_step), observed=observed, limit=limit, sentence=sentence
    )
    checkpoint = view.good_checkpoint(first)
    clip = view.facts.grad_clip
    clipped = f"clipping at {clip:g} bounds the step, not the cause" if clip else "no clipping is declared"
    return Sighting(
        severity=severity,
        title=f"Exploding gradients since step {{since}}: norm {say.number(before)} → {say.number(observed)}",
        first_step=first,
        evidence=(evidence,),
        causes=(
            Cause(
                "learning rate too high",
                "steps overshoot into steep regions" + ("; the loss climbs too" if state == "climbs" else ""),
            ),
            Cause("no gradient clipping", clipped),
            Cause("depth without norm or residual, or bad initialisation", "likely when it happens in the first steps"),
        ),
        remedies=(
            Remedy("Clip gradients at a norm of 1.0.", {"grad_clip": 1.0}, checkpoint),
            Remedy("Lower the learning rate.", {"learning_rate": "×0.3"}, checkpoint),
            Remedy("Lengthen the warm-up.", {"warmup_steps": "×2"}),
        ),
        confidence={Severity.CRITICAL: 0.95, Severity.WARNING: 0.8, Severity.INFO: 0.5}[severity],
    )
