"""The rule `initial-loss`: a first loss that a model which knows nothing cannot have."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from diagnostics import say
from diagnostics.finding import Cause, Evidence, Remedy, Severity, Sighting
from diagnostics.reach import times_the_rate
from diagnostics.rule import Life, rule
from diagnostics.series import SeriesView
from diagnostics.view import RunView

HIGH_LASTING, MOVED = 1.25, 0.01
"""A first loss ÷ ln V, and the sum of rates after which a loss that began so high must have come below ln V at last:
large models that begin at twice ln V are there long before; weights twenty times too large take far longer."""

SURELY, LARGE = 1.15, 2.5
"""A first loss ÷ ln V that no luck of a batch gives (random weights of the usual size: 1.03 at most, of hundreds of runs); and
the first ratio of update to weight ÷ rate below which the weights are far larger than usual: Adam moves each by a quarter of
the rate to all of it."""

UNSURE = 0.7
"""Nats above ln V that guesses cost which spread as those of usual random weights do; with few classes they are a large share of it."""

FIRST_STEPS = 5
"""A loss logged later than this may have been learned down already."""


@rule(
    "initial-loss",
    needs=(("train_loss", "val_loss"),),
    helps=("learning_rate", "update_ratio"),
    blind="the first loss cannot be held against ln of the vocabulary",
    severity=Severity.INFO,
    life=Life(resolved=None),
)
def initial_loss(view: RunView, *, high: float = 1.5, low: float = 0.7) -> Sighting | None:
    """The first loss is far from ln of the vocabulary, the loss of knowing nothing.

    ## What it means
    A model with random weights spreads its guess evenly over the vocabulary and loses ln of its size: 4.17 for 65
    characters, 10.8 for 50,000 pieces. A first loss far from that says that something is not as it was meant: far
    above, the model begins sure of wrong answers, or the loss is a sum; far below, it has seen the answers.

    ## Why it matters
    It is the cheapest check there is: one step is enough. Healthy runs have been seen to begin at twice ln V and
    recover, so it is a note to look at, not an alarm.

    ## How it is detected
    The first finite loss is more than `high` times ln of the declared vocabulary; or, where the config says that the
    weights began at random, less than `low` times it within the first five steps. It is a warning when a loss that began
    above 1.25 times ln V, and by 0.7 nats, is still above ln V once the rates of its steps sum up to 0.01 (ten steps at 0.001). And where two
    measurements say that the weights began far too large: a first loss, of training or of an evaluation before it, above 1.15
    times ln V, and a first step (of the first 100) that changes the weights by less than 2.5 times its rate, as shares of
    them; 10 to 30 times is usual with Adam.

    ## Likely causes
    - Initial weights too large, or an output layer that is not scaled.
    - The loss is summed over micro-batches, or given in other units (bits).
    - Below: the labels are not shifted, the vocabulary is declared larger than it is, or the weights are not random.

    ## What to do
    - Print the loss before the first step and compare it with ln V.
    - Scale the initialisation (0.02, residual outputs by 1 ÷ √(2 × layers)).
    - Divide the loss by the number of accumulation steps.

    ## When it is wrong
    A declared vocabulary that is not the model's own (padded, or the tokenizer's default). Weights that were loaded
    without the config saying so begin low; without a word that they are random nothing is said.

    ## Options
    - `high` (1.5): first loss ÷ ln V above which it speaks.
    - `low` (0.7): first loss ÷ ln V below which it speaks.

    ## Example
    Fires:
        config: vocab_size=256
        train/loss: 22.1 14.3 9.8 6.1 5.4 5.0 4.6
    Silent:
        config: vocab_size=256
        train/loss: 5.9 5.5 5.1 4.8 4.4 4.1 3.9

    ## References
    - Karpathy, A Recipe for Training Neural Networks, 2019 ("verify loss @ init").
    """
    loss, uniform = view.train or view.val, view.facts.uniform_loss
    if loss is None or uniform is None or view.facts.from_scratch is False:
        return None
    steps, values = loss.first_points
    first = float(values[0])
    times = _far_too_large(view, uniform)
    if times is not None:
        return _large_sighting(view, loss, uniform, times)
    lasting = _stays_up(view, loss, uniform)
    if first > high * uniform or lasting:
        severity = Severity.WARNING if lasting else Severity.INFO
        return _sighting(loss, int(steps[0]), first, min(high, HIGH_LASTING) * uniform, uniform, severity)
    known_random = bool(view.facts.from_scratch) and int(steps[0]) <= FIRST_STEPS
    if known_random and first < low * uniform:
        return _sighting(loss, int(steps[0]), first, low * uniform, uniform, Severity.INFO)
    return None


def _stays_up(view: RunView, loss: SeriesView, uniform: float) -> bool:
    """Whether the run was still worse than knowing nothing once the rates of its steps had summed up to `MOVED`.

    That is a matter of the first steps, so it is asked of them, and stays so when the loss has come down.
    """
    steps, values = loss.first_points
    if view.rate is None or float(values[0]) <= max(HIGH_LASTING * uniform, uniform + UNSURE) or values.size < 5:
        return False
    rates, sizes = view.rate.first_points
    moved = np.cumsum(sizes * np.diff(rates, prepend=min(0, int(rates[0]))))
    past = np.flatnonzero(moved >= MOVED)
    if not past.size:
        return False
    # The very first loss may be the mean of as many steps: the next one says whether it has come down.
    until = values[: max(2, int((steps <= rates[past[0]]).sum()))][-3:]
    return float(until.min()) > 1.05 * uniform


def _far_too_large(view: RunView, uniform: float) -> float | None:
    """By how many times the rate the first measured step changed the weights, where that and the first loss say: too large."""
    times = times_the_rate(view, 1)
    return times if times is not None and 0 < times < LARGE and max(view.firsts) > SURELY * uniform else None


def _large_sighting(view: RunView, loss: SeriesView, uniform: float, times: float) -> Sighting:
    ratio = view.series["update_ratio"]
    step, first = int(loss.first_points[0][0]), max(view.firsts)
    seen = _sighting(loss, step, first, SURELY * uniform, uniform, Severity.WARNING)
    at = int(ratio.first_points[0][0])
    sentence = (
        f"The step at {say.step(at)} changed the weights by {say.number(times)} times the learning rate; 10 to 30 times is "
        "usual with Adam, and less the larger they are."
    )
    evidence = Evidence(series=ratio.name, window=(at, at), observed=times, limit=LARGE, sentence=sentence)
    return replace(seen, evidence=(*seen.evidence, evidence), causes=_high_causes(0.0), confidence=0.9)


def _sighting(loss: SeriesView, step: int, first: float, limit: float, uniform: float, severity: Severity) -> Sighting:
    side = "above" if first > uniform else "below"
    sentence = (
        f"The first loss is {say.number(first)}; a model that knows nothing has ln of the vocabulary, "
        f"{say.number(uniform)}."
    )
    evidence = Evidence(series=loss.name, window=(step, step), observed=first, limit=limit, sentence=sentence)
    return Sighting(
        severity=severity,
        title=f"First loss {say.number(first)} is far {side} ln of the vocabulary, {say.number(uniform)}",
        first_step=step,
        evidence=(evidence,),
        causes=_high_causes(first / uniform) if side == "above" else _low_causes(first / uniform),
        remedies=_remedies(side),
        confidence=0.8 if severity is Severity.WARNING else 0.6,
    )


def _high_causes(ratio: float) -> tuple[Cause, ...]:
    init = Cause("initial weights too large", "the model begins sure of wrong answers")
    whole = round(ratio)
    summed = Cause(
        "the loss is a sum, not a mean",
        f"it is {whole} times ln V, as when {whole} micro-batches are added"
        if whole >= 2 and math.isclose(ratio, whole, rel_tol=0.03)
        else "a sum over micro-batches or tokens is a multiple of ln V",
    )
    vocabulary = Cause("the declared vocabulary is not the model's", "ln V is then held against the wrong V")
    return (summed, init, vocabulary) if "times" in summed.why else (init, summed, vocabulary)


def _low_causes(ratio: float) -> tuple[Cause, ...]:
    leak = Cause("the model sees the answers", "labels that are not shifted, or attention that is not causal")
    loaded = Cause("the weights are not random", "a checkpoint was loaded although the config says from scratch")
    vocabulary = Cause("the declared vocabulary is larger than the real one", "ln V is then too high")
    return (leak, loaded, vocabulary) if ratio < 0.3 else (vocabulary, loaded, leak)


def _remedies(side: str) -> tuple[Remedy, ...]:
    if side == "above":
        return (
            Remedy("Scale the initialisation: 0.02, residual outputs by 1 ÷ √(2 × layers)."),
            Remedy("Divide the loss by the number of accumulation steps before backward."),
            Remedy("Warm the rate up until the first surprise is over.", {"warmup_steps": "×2"}),
        )
    return (
        Remedy("Print one batch: the label at a position is the token after it."),
        Remedy("Change one token and check that no earlier output moves: attention must be causal."),
    )
