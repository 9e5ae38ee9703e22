"""The rule `train-val-overlap`: validation text that stands in the training text."""

from __future__ import annotations

from diagnostics import say
from diagnostics.data import DataFacts
from diagnostics.finding import Cause, Evidence, Remedy, Severity, Sighting
from diagnostics.rule import rule
from diagnostics.view import RunView

POINTS = 3
"""Evaluations after which the curves may be asked."""


@rule(
    "train-val-overlap",
    needs=(),
    looks_at="data",
    helps=("train_loss", "val_loss"),
    blind="whether the validation text was trained on cannot be seen",
    severity=Severity.WARNING,
)
def train_val_overlap(view: RunView, *, some: float = 0.05, share: float = 0.2) -> Sighting | None:
    """Much of the validation text stands in the training text.

    ## What it means
    The model is examined on what it was taught. Its validation loss says how well it remembers, not how well it reads.

    ## Why it matters
    Overfitting cannot be seen any more: the validation loss falls with the training loss, and the worst model looks best.

    ## How it is detected
    The run says how much of its validation part stands, word for word, in what it trains on (`overlap`): windows of
    about 100 characters, so that phrases do not count, and only those that stand there at no more than 20 places, so
    that licence headers and other boilerplate do not count. `some` of it is an info, `share` of it a warning. A
    validation loss that is no higher than the training loss makes it surer; alone it says nothing.

    ## Likely causes
    - The split was made after windows were cut or shuffled: neighbours lie on both sides.
    - Copies of the same document on both sides.
    - The validation file is among the training files.

    ## What to do
    - Remove copies first, then split by document.
    - Take out of the training part what shares long passages with the validation part.
    - Do not compare this run's validation loss with that of others.

    ## When it is wrong
    Texts that quote each other at length (logs, forms, poems with a refrain) share passages without being copies.
    Translations, paraphrases and other spellings of the same text are not seen.

    ## Options
    - `some` (0.05): share of the validation part, for info.
    - `share` (0.2): share of the validation part, for a warning.

    ## Example
    Fires:
        data: train_tokens=180000 val_tokens=20000 overlap=0.94 repeated=0.02
        train/loss: 4.2 3.6 3.1 2.8
    Silent:
        data: train_tokens=180000 val_tokens=20000 overlap=0.03 repeated=0.11
        train/loss: 4.2 3.6 3.1 2.8

    ## References
    - Lee et al., Deduplicating Training Data Makes Language Models Better, 2022: over 4 % of C4's validation part stands in
      its training part.
    """
    data = view.data
    if data is None or data.overlap is None or data.overlap < some:
        return None
    return _sighting(view, data, share)


def _sighting(view: RunView, data: DataFacts, share: float) -> Sighting:
    overlap = data.overlap or 0.0
    severity = Severity.WARNING if overlap >= share else Severity.INFO
    copies = data.share_of_documents(data.duplicates) > 0.05 or (data.repeated or 0.0) > 0.5 * overlap
    causes = (
        Cause("the validation text is among the training text", "a file too many, or a split after windows were cut"),
        Cause("copies on both sides of the split", f"{say.percent(data.repeated or 0.0)} of the training text stands there twice too"),
    )  # fmt: skip
    return Sighting(
        severity=severity,
        title=f"{say.percent(overlap)} of the validation text stands in the training text",
        first_step=data.step,
        evidence=(
            Evidence(
                series="data/overlap",
                window=(data.step, view.step),
                observed=overlap,
                limit=share if severity is Severity.WARNING else None,
                sentence=f"{say.percent(overlap)} of the validation part's windows of about 100 characters stand word for word "
                f"in what the model trains on. {_curves(view)}",
            ),
        ),
        causes=causes[::-1] if copies else causes,
        remedies=(
            Remedy("Remove copies, then split by document, so that no document lies on both sides."),
            Remedy("Measure again on text that was surely not trained on."),
        ),
        confidence=0.95 if overlap >= share else 0.7,
    )


def _curves(view: RunView) -> str:
    train, val = view.train, view.val
    if train is None or val is None or val.size < POINTS:
        return "Its validation loss says how well it remembers."
    beside = train.near(val.last_step)
    if val.last <= beside:
        return (
            f"The validation loss ({say.number(val.last)}) is no higher than the training loss ({say.number(beside)})."
        )
    return "The validation loss is too low by what it remembers."
