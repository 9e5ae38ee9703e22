"""The rule `gradient-clip-saturation`: clipping at nearly every step, far below what the gradients are."""

from __future__ import annotations

from diagnostics import say, stats
from diagnostics.finding import Cause, Evidence, Remedy, Severity, Sighting
from diagnostics.rule import Life, rule
from diagnostics.series import SeriesView
from diagnostics.view import RunView


@rule(
    "gradient-clip-saturation",
    needs=(("grad_norm",), ("train_loss", "val_loss")),
    blind="how often gradients are clipped cannot be seen",
    clock="grad_norm",
    severity=Severity.INFO,
    life=Life(open_after_looks=2, close_after_points=50, close_after_share=0.1),
)
def gradient_clip_saturation(
    view: RunView, *, share: float = 0.95, times: float = 5.0, points: int = 200
) -> Sighting | None:
    """Nearly every step is clipped, to a small part of its gradient.

    ## What it means
    The clip is no guard against rare large steps any more: it is part of every step. Only the direction of the gradient
    is left, its size says nothing.

    ## Why it matters
    With Adam it matters little, with plain gradient descent it is a second learning rate. It often means that the
    gradients are larger than they should be, so it is worth a look.

    ## How it is detected
    A run from scratch (its first losses are those of knowing nothing) with a declared clip: more than `share` of the
    last `points` norms are above it, and their median is more than `times` the clip.

    ## Likely causes
    - The clip was taken from another model, or the loss is a sum and its gradients are as much larger.
    - Learning rate too high, or initial weights too large.
    - The norm that is logged still carries the loss scale.

    ## What to do
    - Divide the loss by tokens and accumulation steps.
    - Lower the rate or lengthen the warm-up, and see whether norms fall.
    - If the curve is healthy, set the clip at about twice the median norm, or leave it.

    ## When it is wrong
    Fine-tunes and adapters clip all the time and are well; they are not judged.

    ## Options
    - `share` (0.95): clipped norms ÷ norms.
    - `times` (5): median norm ÷ clip.
    - `points` (200): last norms.

    ## Example
    Fires:
        config: vocab_size=256 grad_clip=1.0
        train/loss: 5.5 5.2 4.8 4.3 3.9 3.6 3.4 3.3 3.2 3.1 3.0*240
        train/grad_norm: 14 13*250
    Silent:
        config: vocab_size=256 grad_clip=1.0
        train/loss: 5.5 5.2 4.8 4.3 3.9 3.6 3.4 3.3 3.2 3.1 3.0 2.9 2.8 2.7 2.6
        train/grad_norm: 1.4 1.3 1.2 0.9 0.8 1.1 0.7 0.9 0.8 0.7 0.9 0.8 0.7 0.6 0.8

    ## References
    - Zhang et al., Why Gradient Clipping Accelerates Training, 2020.
    """
    grad, clip = view.get("grad_norm"), view.facts.grad_clip
    if grad is None or not clip or view.uniform_loss is None or grad.values.size < points:
        return None
    recent = grad.values[-points:]
    clipped, usual = float((recent > clip).mean()), stats.median(recent)
    if clipped <= share or usual <= times * clip:
        return None
    return _sighting(grad, points, clip, clipped, usual)


def _sighting(grad: SeriesView, points: int, clip: float, clipped: float, usual: float) -> Sighting:
    first = int(grad.steps[-points])
    sentence = (
        f"{say.percent(clipped)} of the last {points} gradient norms are above the clip of {clip:g}; "
        f"their median is {say.number(usual)}."
    )
    return Sighting(
        severity=Severity.INFO,
        title=f"Nearly every step is clipped since step {{since}}: norms about {say.number(usual)}, clip {clip:g}",
        first_step=first,
        evidence=(
            Evidence(series=grad.name, window=(first, grad.last_step), observed=usual, limit=clip, sentence=sentence),
        ),
        causes=(
            Cause("the loss is a sum, or still scaled", "its gradients are then as many times too large"),
            Cause("learning rate or initial weights too large", "norms stay high where steps overshoot"),
            Cause("a clip from another model", "usual norms grow with the size of a model"),
        ),
        remedies=(
            Remedy("Divide the loss by tokens and accumulation steps; unscale before the norm is taken."),
            Remedy("Lower the learning rate and see whether the norms fall.", {"learning_rate": "×0.5"}),
            Remedy("If the curve is healthy, raise the clip to about twice the median norm."),
        ),
        confidence=0.5,
    )
