"""The rule `underfitting`: both losses high and flat, held against what knowing nothing costs. Never without that."""

from __future__ import annotations

from diagnostics import say
from diagnostics.finding import Cause, Evidence, Remedy, Severity, Sighting
from diagnostics.rule import Life, rule
from diagnostics.series import SeriesView
from diagnostics.view import RunView

LARGE_VOCABULARY = 1000
"""Below it knowing how often each token occurs is already worth more than the share that is asked for."""


@rule(
    "underfitting",
    needs=(("train_loss",), ("val_loss",)),
    helps=("learning_rate",),
    blind="underfitting cannot be told from a loss alone",
    severity=Severity.WARNING,
    life=Life(open_after_looks=2, close_after_points=20, close_after_share=0.1),
)
def underfitting(
    view: RunView, *, share: float = 0.66, gap: float = 0.05, steps: int = 1000, flat: float = 0.01
) -> Sighting | None:
    """Training and validation loss both stay high: the model has learned little more than how often tokens occur.

    ## What it means
    The model fits neither what it trains on nor what it has not seen. It is too small, trained too little, held back, or
    what it is shown has nothing more to teach.

    ## Why it matters
    More patience does not help: the curve is flat already, at a loss that a table of frequencies reaches.

    ## How it is detected
    Only against a reference: the run began at ln of a declared vocabulary of 1,000 tokens or more. After `steps` steps
    since the warm-up and half of the plan (where it is declared), both losses are above `share` of it, no further
    apart than `gap`, and the training loss fell by less than `flat` over the last 40 % while the rate was still up.

    ## Likely causes
    - The order of the tokens is lost: shuffled text or labels, positions that are not added, broken attention.
    - Model far too small, or most of it frozen.
    - Rate too low, or far too high; dropout or weight decay far too strong.

    ## What to do
    - Train on one batch until its loss is near nothing: if that fails, the model or the labels are broken.
    - Print one batch as text and read it.
    - Then a larger model, less dropout, another rate.

    ## When it is wrong
    Text in which little can be foretold (random identifiers, many languages in few tokens each) stays high honestly.
    Small vocabularies and fine-tunes are not judged: there the reference says nothing.

    ## Options
    - `share` (0.66): loss ÷ ln of the vocabulary.
    - `gap` (0.05): validation loss ÷ training loss - 1, at most.
    - `steps` (1000): steps since the warm-up.
    - `flat` (0.01): fall over the last 40 % of the curve.

    ## Example
    Fires:
        config: vocab_size=50257
        step: 0 100 200 300 400 500 600 700 800 900 1000 1100 1200 1300 1400 1500 1600 1700 1800 1900 2000 2100 2200 2300
        train/loss: 10.8 9.1 8.2 7.6 7.5 7.48 7.5 7.47 7.49 7.48 7.47 7.48 7.49 7.47 7.48 7.47 7.48 7.48 7.47 7.48 7.48 7.47 7.48 7.48
        val/loss: 10.8 9.1 8.2 7.6 7.5 7.49 7.5 7.48 7.49 7.48 7.48 7.48 7.49 7.48 7.48 7.48 7.48 7.48 7.48 7.48 7.48 7.48 7.48 7.48
    Silent:
        config: vocab_size=50257
        step: 0 100 200 300 400 500 600 700 800 900 1000 1100 1200 1300 1400 1500 1600 1700 1800 1900 2000 2100 2200 2300
        train/loss: 10.8 9.1 8.2 7.6 7.3 7.1 6.9 6.7 6.6 6.5 6.4 6.3 6.2 6.1 6.0 5.9 5.8 5.7 5.6 5.5 5.4 5.3 5.2 5.1
        val/loss: 10.8 9.1 8.2 7.6 7.3 7.1 6.9 6.7 6.6 6.5 6.4 6.3 6.2 6.1 6.0 5.9 5.8 5.7 5.6 5.5 5.4 5.3 5.2 5.1

    ## References
    - Goodfellow, Bengio & Courville, Deep Learning, 2016, chapter 5.2.
    """
    train, val, uniform = view.train, view.val, view.facts.uniform_loss
    if train is None or val is None or uniform is None or view.uniform_loss != uniform:
        return None
    if (view.facts.vocab_size or 0) < LARGE_VOCABULARY or train.size < 20 or val.size < 4:
        return None
    if view.warm_steps < steps or (view.progress or 1) < 0.5 or view.rate_share < 0.3:
        return None
    low, high = min(train.level, val.level), max(train.level, val.level)
    if low < share * uniform or high > min((1 + gap) * low, 0.95 * uniform):
        return None
    fell, _ = train.flatness(0.4)
    return _sighting(train, val, uniform, share) if abs(fell) < flat else None


def _sighting(train: SeriesView, val: SeriesView, uniform: float, share: float) -> Sighting:
    first = int(train.first_points[0][0])
    part = say.percent(train.level / uniform)
    seen = tuple(
        Evidence(
            series=series.name,
            window=(first, series.last_step),
            observed=series.level,
            limit=share * uniform,
            sentence=f"It stays at {say.number(series.level)}, {say.percent(series.level / uniform)} of ln of the vocabulary.",
        )
        for series in (train, val)
    )
    return Sighting(
        severity=Severity.WARNING,
        title=f"Underfitting: both losses stay at {part} of the loss of knowing nothing",
        first_step=first,
        evidence=seen,
        causes=(
            Cause("the order of the tokens is lost", "the loss is that of a table of frequencies"),
            Cause("model too small, or most of it frozen", "neither training nor validation text is fitted"),
            Cause("rate or regularisation far off", "a rate that is far too high or low holds the loss up as well"),
        ),
        remedies=(
            Remedy("Train on one batch until its loss is near nothing; if that fails, model or labels are broken."),
            Remedy("Print one batch as text and read it."),
            Remedy("Turn dropout off and use a larger model.", {"dropout": 0.0, "n_layer": "×2"}),
        ),
        confidence=0.75,
    )
