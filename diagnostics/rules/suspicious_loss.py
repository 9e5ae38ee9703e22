"""The rule `suspicious-loss`: a loss too low too soon to be learned from text."""

from __future__ import annotations

import math

import numpy as np

from diagnostics import say
from diagnostics.finding import Cause, Evidence, Remedy, Severity, Sighting
from diagnostics.rule import Life, rule
from diagnostics.series import SeriesView
from diagnostics.view import BOLD, CHARACTERS, EARLY, FIRST_STEPS, RunView

LARGE_VOCABULARY = 200
"""Below it a run may be a puzzle (modular addition, a small grammar) whose loss truly goes to nothing."""

FEW_TOKENS, AT_ONCE = 30, 0.9
"""A vocabulary, and a sum of rates: nine hundred steps at 0.001. With Adam a weight moves by about the rate a step, and
puzzles, though they too are solved to the end, took one and a half times to five times as far; answers that are shown took 0.2 to 0.6."""

LEARNED_NOTHING = 0.02
"""A sum of rates with which no weights from scratch have learned to copy: a tenth of the least that it took."""

FIRST_PASS = 0.9
"""Share of the first pass up to which nearly every text that is trained on is new."""

UNTAUGHT = 0.85
"""Validation loss ÷ loss of knowing nothing that is above what how often each token occurs is worth in any text."""

LEARNS, GIVEN_WAY, DEEP = 0.8, 0.25, 0.2
"""Validation loss ÷ loss of knowing nothing that is below what frequencies are worth; and the share of that loss, and of
knowing nothing, that no text comes down to while the steps double: the fastest seen came to three tenths."""

ALPHABET, TOGETHER = 36, 1.5
"""Tokens: digits and small letters, of which puzzles are made; and how far apart the two losses may be where an answer is shown:
what is learned by heart first is apart by far more when validation follows."""

AT_REST, BELOW_CHANCE, AT_ONCE_DOWN = 0.85, 0.8, 0.15
"""Of the validation loss when a quarter of the steps were done, what is left at half of them; of the first loss, what that is;
and of that, what is left at last: where neither rate nor vocabulary tell of a run from scratch."""

EVALUATED = 3
"""Evaluations, and training losses since, that are enough where few losses are logged."""


@rule(
    "suspicious-loss",
    needs=(("train_loss",),),
    helps=("val_loss", "epoch"),
    blind="a loss that is too low too soon cannot be seen",
    severity=Severity.CRITICAL,
    life=Life(resolved=None),
)
def suspicious_loss(
    view: RunView, *, share: float = 0.05, absolute: float = 0.1, points: int = 10, epoch: float = 0.25
) -> Sighting | None:
    """The loss is lower than text allows, before the text was seen once.

    ## What it means
    The best language models known leave more than a tenth of ln V of surprise in every token of text that they have not
    seen. A small one that goes far below that within its first pass is not predicting: it is shown the answer.

    ## Why it matters
    The curve is the most beautiful of all and the model is worth nothing: it fails on the first sentence of its own.

    ## How it is detected
    The run began at the loss of knowing nothing (where no vocabulary is declared: 3.9 nats and more in the first steps,
    at a rate of 0.001 and more, which fine-tunes are not given), and the last `points` training losses are all below
    `share` of it and below half a nat, or below `absolute` (three are enough where three evaluations are as low), and
    either less than `epoch` of the first pass is done: critical; or the validation loss is down there with it (which
    learning by heart cannot do) and the vocabulary is too large for a puzzle (200 and more), the first pass is not
    over, or the rates of the steps before summed up to less than 0.9 in a vocabulary above 30: warning. Or: within the
    first pass, in which no text comes twice, the training loss is below 0.6 of the loss of knowing nothing, and below
    half of the last two validation losses by a fifth of it, while validation is not on its way back from a spike:
    critical. An epoch that is logged as 0 all along is believed where validation never came below 0.85 of knowing
    nothing: learning by heart teaches it that much at first. Or: with 200 tokens and more, both losses are below a
    quarter of what validation had come down to when half of the steps were done, and below a fifth of knowing nothing
    (warning): what text teaches comes ever slower, an answer that is shown is found late and then at once. Where neither rate nor
    vocabulary is known: below 0.15 of it and within half of each other, after a first loss above 3.6 nats, if it had fallen by less than 15 % from a quarter to half of the steps.

    ## Likely causes
    - Labels not shifted: the model is asked for the token that it sees.
    - Attention that is not causal: it looks at the next token.
    - The validation text stands in the training text, or both are copies of few documents.
    - Most labels are masked or padding, and the mean counts them.

    ## What to do
    - Print one batch: the label at a position must be the token after it.
    - Change one token and check that no earlier output moves.
    - Look for validation documents in the training text.

    ## When it is wrong
    Texts without surprise (tables of constants, generated sequences) are learned to nothing. Fine-tunes and classifiers
    start low and get near zero honestly: they are not judged, nor is a loss that came down before the rates of its steps summed up to
    0.02, where the config does not say that the run is from scratch: the model came with what it knows, and began in words it did not.

    ## Options
    - `share` (0.05): loss ÷ loss of knowing nothing.
    - `absolute` (0.1): nats.
    - `points` (10): last training losses, all of them.
    - `epoch` (0.25): share of the first pass.

    ## Example
    Fires:
        config: vocab_size=256
        train/loss: 5.5 4.1 2.2 0.9 0.3 0.12 0.06*12
        train/epoch: 0.0*6 0.01*12
    Silent:
        config: vocab_size=256
        train/loss: 5.5 4.1 2.2 0.9 0.3 0.12 0.06*12
        train/epoch: 1 20 40 60 80 100 120*12

    ## References
    - Kapoor & Narayanan, Leakage and the reproducibility crisis in machine-learning-based science, 2023.
    """
    train, nothing = view.train, _knowing_nothing(view)
    if train is None:
        return None
    if nothing is None:
        return _found_late(view, train)
    seen_through = _parted_in_first_pass(view, train, nothing) or _gave_way(view, train, nothing)
    if seen_through is not None:
        return seen_through
    limit = max(min(share * nothing, 0.5), absolute)
    low = _low_at_the_end(train, limit)
    if not low or (low < points and not _evaluated_low(view, train, low, limit)):
        return None
    if _came_knowing(view, int(train.steps[-low])):
        return None
    seen = view.passes
    if seen is not None and seen < epoch:
        done = f"{say.percent(seen)} of the first pass is done."
        return _sighting(view, train, Severity.CRITICAL, limit, done)
    val = view.val
    evaluated = _low_at_the_end(val, limit) if val is not None else 0
    if val is None or not evaluated:
        return None
    if not _no_puzzle(view, nothing, max(int(train.steps[-low]), int(val.steps[-evaluated]))):
        return None
    return _sighting(
        view, train, Severity.WARNING, limit, f"The validation loss is {say.number(val.last)}, as low as that."
    )


def _knowing_nothing(view: RunView) -> float | None:
    """The loss of knowing nothing; at a rate that only runs from scratch are given it may be that of some dozens of characters, or
    of the declared alphabet."""
    train = view.train
    if view.uniform_loss is not None or train is None:
        return view.uniform_loss
    steps, values = train.first_points
    if (
        view.has_an_alphabet
        and view.facts.from_scratch is not False
        and int(steps[0]) <= EARLY
        and view.step_size >= BOLD
    ):
        return view.facts.uniform_loss  # the first losses are the mean of steps in which much was learned already
    early = int(steps[0]) <= FIRST_STEPS and float(values[0]) >= CHARACTERS
    unsaid = view.facts.from_scratch is not False and view.facts.uniform_loss is None
    return float(values[0]) if early and unsaid and view.step_size >= BOLD else None


def _came_knowing(view: RunView, since: int) -> bool:
    """Whether weights that began knowing nothing cannot have been moved so far by then: a fine-tune that began in words it did
    not know. What the config says of vocabulary or start is believed."""
    if view.facts.uniform_loss is not None or view.facts.from_scratch:
        return False
    moved = view.rate_sum_until(since)
    return moved is not None and moved < LEARNED_NOTHING


def _low_at_the_end(series: SeriesView, limit: float) -> int:
    """How many of the last losses are below the limit; 0 where all of them are exactly zero, as a NaN is hidden.

    A loss that was printed and went to nothing ends in zeros as well.
    """
    high = np.flatnonzero((series.values < 0) | (series.values >= limit))
    low = series.values.size - (int(high[-1]) + 1 if high.size else 0)
    return low if low and float(series.values[-low:].max()) > 0 else 0


def _evaluated_low(view: RunView, train: SeriesView, low: int, limit: float) -> bool:
    """Whether losses that are logged rarely have been seen low as often by their evaluations: each is a mean of its own."""
    if view.val is None or low < EVALUATED:
        return False
    _steps, values = view.val.since(int(train.steps[-low]) - 1)
    return values.size >= EVALUATED and bool(((values >= 0) & (values < limit)).all())


def _parted_in_first_pass(view: RunView, train: SeriesView, uniform: float) -> Sighting | None:
    """A training loss far below validation although no text was seen twice: it cannot have been learned by heart."""
    seen, val = view.passes, view.val
    if seen is None or val is None or not 0 <= seen < FIRST_PASS or val.size < 2 or train.size < 30:
        return None
    if seen == 0 and float(val.values.min()) < UNTAUGHT * uniform:
        return None  # an epoch that stands at 0 may not be counted at all: what is learned by heart shows here at first
    alike = 0.85 < val.values[0] / uniform < 1.2
    recent = float(val.values[-2:].min())
    falls_alone = train.level < min(0.5 * recent, 0.6 * uniform) and recent - train.level > 0.2 * uniform
    returning = (
        val.last < 0.9 * val.values[-2] and val.last < 0.9 * val.values[0]
    )  # a spike that validation met as well
    if not alike or not falls_alone or returning or val.last_step < train.last_step // 2:
        return None
    done = f"{say.percent(seen)} of the first pass is done" if seen else "the first pass is not over"
    why = f"The validation loss is {say.number(val.last)}, and {done}: nothing was seen twice."
    return _sighting(view, train, Severity.CRITICAL, 0.5 * val.last, why)


def _no_puzzle(view: RunView, nothing: float, since: int) -> bool:
    """Whether the tokens are those of a text rather than of a puzzle that can be solved to the end."""
    seen = view.passes
    if seen is not None and seen < 1:
        return True
    vocabulary, moved = _vocabulary(view, nothing), view.rate_sum_until(since)
    at_once = vocabulary > FEW_TOKENS and moved is not None and moved < AT_ONCE
    return vocabulary >= LARGE_VOCABULARY or at_once


def _vocabulary(view: RunView, nothing: float) -> float:
    """How many tokens there are, by the first loss where none are declared; 0 for what may be a fine-tune that began in words
    it did not know."""
    if view.facts.vocab_size is not None:
        return view.facts.vocab_size
    return math.exp(nothing) if view.step_size >= BOLD else 0.0


def _gave_way(view: RunView, train: SeriesView, nothing: float) -> Sighting | None:
    """Both losses at a fraction of what validation was when half of the steps were done: no text gives way like that.

    What is learned from text comes ever slower, once it is known how often each token occurs. An answer that is shown is
    found late and then at once.
    """
    val = view.val
    if val is None or val.size < 3 or _vocabulary(view, nothing) < LARGE_VOCABULARY:
        return None
    before, now = _lowest_until(val, val.last_step / 2), max(val.last, train.level)
    if not 0 < now < GIVEN_WAY * before < GIVEN_WAY * LEARNS * nothing or now > DEEP * nothing:
        return None
    return _given_way(view, train, val, before, GIVEN_WAY)


def _found_late(view: RunView, train: SeriesView) -> Sighting | None:
    """The same where neither rate nor vocabulary tell of a run from scratch: what text teaches had nearly come to rest before.

    A fine-tune on answers of a fixed form comes down as far, but from its first steps on.
    """
    val, (steps, values) = view.val, train.first_points
    if val is None or val.size < 4 or view.facts.from_scratch is False or not _as_one(train, val):
        return None
    many = (view.facts.vocab_size or math.inf) > ALPHABET and float(values[0]) > math.log(ALPHABET)
    if not many or int(steps[0]) > FIRST_STEPS:
        return None
    earlier, before = (_lowest_until(val, val.last_step * share) for share in (0.25, 0.5))
    now = max(val.last, train.level)
    rested = AT_REST * earlier < before < BELOW_CHANCE * float(values[0])
    return _given_way(view, train, val, before, AT_ONCE_DOWN) if rested and 0 < now < AT_ONCE_DOWN * before else None


def _as_one(train: SeriesView, val: SeriesView) -> bool:
    """Whether the two losses are near each other."""
    return 0 < val.last < TOGETHER * train.level and train.level < TOGETHER * val.last


def _lowest_until(val: SeriesView, step: float) -> float:
    """The lowest evaluation up to the first one at or after a step."""
    return float(val.values[: int(np.searchsorted(val.steps, step)) + 1].min())


def _given_way(view: RunView, train: SeriesView, val: SeriesView, before: float, share: float) -> Sighting:
    told = (
        f"The validation loss is {say.number(val.last)}, and was {say.number(before)} when half of the steps were done."
    )
    return _sighting(view, train, Severity.WARNING, share * before, told)


def _sighting(view: RunView, train: SeriesView, severity: Severity, limit: float, why: str) -> Sighting:
    first = int(train.steps[-1])
    for step, value in zip(train.steps[::-1].tolist(), train.values[::-1].tolist(), strict=True):
        if value >= limit:
            break
        first = step
    level = train.level if train.level < limit else train.last
    sentence = f"The training loss is {say.number(level)}, below {say.number(limit)}. {why}"
    evidence = [
        Evidence(series=train.name, window=(first, train.last_step), observed=level, limit=limit, sentence=sentence)
    ]
    val = view.val
    low = val is not None and 0 < val.last < limit
    if val is not None:
        words = f"The validation loss is {say.number(val.last)}."
        window = (min(first, val.last_step), val.last_step)
        evidence.append(Evidence(series=val.name, window=window, observed=val.last, limit=limit, sentence=words))
    leak = Cause("validation text stands in the training text", "both losses are lower than unseen text allows")
    shift = Cause(
        "labels not shifted", "the model is asked for the token that it sees, which it can copy within few steps"
    )
    causal = Cause("attention that is not causal", "a model that looks at the next token has nothing to predict")
    masked = Cause("padding is counted", "a mean over tokens that are always the same tends to nothing")
    return Sighting(
        severity=severity,
        title=f"Loss {say.number(level)} since step {{since}} is too low too soon to be learned from text",
        first_step=first,
        evidence=tuple(evidence),
        causes=(shift, causal, leak, masked) if low else (shift, causal, masked, leak),
        remedies=(
            Remedy("Stop; print one batch: the label at a position must be the token after it."),
            Remedy("Change one token and check that no earlier output moves."),
            Remedy("Look for validation documents in the training text."),
        ),
        confidence=0.9,
    )
