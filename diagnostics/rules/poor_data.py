"""The rule `poor-data`: text that is too little for the model, or hardly text at all."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from diagnostics import say
from diagnostics.data import DataFacts
from diagnostics.finding import Cause, Evidence, Remedy, Severity, Sighting
from diagnostics.rule import rule
from diagnostics.view import RunView

FAR_TOO_LARGE = 10.0
"""Parameters for each different token: such a model can hold the whole text."""


class _Fault(NamedTuple):
    """One thing that is wrong with the data."""

    severity: Severity
    title: str
    observed: float
    limit: float
    cause: Cause
    remedy: Remedy


@rule(
    "poor-data",
    needs=(),
    looks_at="data",
    helps=("val_loss",),
    blind="what the training text is like cannot be seen",
    severity=Severity.INFO,
)
def poor_data(
    view: RunView,
    *,
    passes: float = 16.0,
    parameters: float = 1.0,
    unreadable: float = 0.05,
    empty: float = 0.01,
    short: float = 0.1,
) -> Sighting | None:
    """The training text is far too small for the model, or much of it is no text.

    ## What it means
    A model can only be as good as what it reads. Here it reads little, or it reads rubbish.

    ## Why it matters
    A small text is learned by heart long before the run ends. Empty documents and characters that nobody can read take
    part in every batch and teach nothing.

    ## How it is detected
    By what the run says of its data. Too small: the plan goes over the text (copies counted once) `passes` times or
    more, and the model has at least `parameters` parameters for each of its tokens; a warning once the run has been
    over it four times, holds ten times as many, and its validation loss stands above its best. Not text: `unreadable`
    of the characters stand for nothing (a fifth of that is an info). Hardly documents: more than `empty` of them are
    empty, or more than `short` have fewer than 50 characters (info).

    ## Likely causes
    - A part of the data set was not found, or a limit meant for trying out was left in.
    - Files in another encoding, binary files among the texts.
    - An export that leaves fields empty or keeps headings alone.

    ## What to do
    - More text: 1 to 5 MB of one kind is the least for a small model; then 5 to 10 epochs.
    - Or a smaller model, fewer steps, dropout.
    - Drop documents under 100 characters or with fewer than 20 different words; convert the rest to UTF-8.

    ## When it is wrong
    Overfitting one batch on purpose is a good test and looks like this. Small exercises (sums, made-up languages) can be
    learned from little text. Short documents are right for chats and verses.

    ## Options
    - `passes` (16): planned tokens ÷ different tokens.
    - `parameters` (1): parameters ÷ different tokens.
    - `unreadable` (0.05): share of the characters, for a warning.
    - `empty` (0.01): share of the documents.
    - `short` (0.1): share of the documents.

    ## Example
    Fires:
        data: train_tokens=3600 planned_tokens=256000 parameters=104000 distinct=1.0
        train/loss: 4.2 3.6 3.1 2.8
    Silent:
        data: train_tokens=180000 planned_tokens=256000 parameters=104000 distinct=0.99 documents=400 empty=1 short=12
        train/loss: 4.2 3.6 3.1 2.8

    ## References
    - Muennighoff et al., Scaling Data-Constrained Language Models, 2023: past 16 passes new ones bring little.
    """
    data = view.data
    if data is None:
        return None
    faults = [
        *_too_small(view, data, passes, parameters),
        *_no_text(data, unreadable),
        *_no_documents(data, empty, short),
    ]
    return _sighting(view, data, sorted(faults, key=lambda fault: -fault.severity.rank)) if faults else None


def _too_small(view: RunView, data: DataFacts, passes: float, parameters: float) -> Iterator[_Fault]:
    tokens, planned = data.different_tokens, data.passes
    if (
        not tokens
        or planned is None
        or planned < passes
        or not data.parameters
        or data.parameters < parameters * tokens
    ):
        return
    done = planned * (view.progress if view.progress is not None else 0.0)
    harmed = done >= 4 and data.parameters >= FAR_TOO_LARGE * tokens and view.rising_validation
    yield _Fault(
        Severity.WARNING if harmed else Severity.INFO,
        f"The text is small for the model: {tokens:,.0f} different tokens, {data.parameters:,.0f} parameters, "
        f"{planned:,.0f} times over",
        planned,
        passes,
        Cause("too little text", "part of it was not found, or a limit was left in"),
        Remedy("Train on more text, or a smaller model for fewer steps, with dropout.", {"dropout": 0.1}),
    )


def _no_text(data: DataFacts, unreadable: float) -> Iterator[_Fault]:
    share = data.unreadable or 0.0
    if share >= unreadable / 5:
        yield _Fault(
            Severity.WARNING if share >= unreadable else Severity.INFO,
            f"{say.percent(share)} of the characters stand for nothing",
            share,
            unreadable,
            Cause("files that are no text", "another encoding, or binary files among the texts"),
            Remedy("Convert the files to UTF-8 and leave out those that are no text."),
        )


def _no_documents(data: DataFacts, empty: float, short: float) -> Iterator[_Fault]:
    for count, limit, what in ((data.empty, empty, "empty"), (data.short, short, "shorter than 50 characters")):
        share = data.share_of_documents(count)
        if share > limit:
            yield _Fault(
                Severity.INFO,
                f"{say.percent(share)} of the documents are {what}",
                share,
                limit,
                Cause("an export that lost its text", f"documents that are {what} teach nothing"),
                Remedy("Drop documents under 100 characters or with fewer than 20 different words."),
            )


def _sighting(view: RunView, data: DataFacts, faults: list[_Fault]) -> Sighting:
    worst = faults[0]
    return Sighting(
        severity=worst.severity,
        title=worst.title,
        first_step=data.step,
        evidence=tuple(
            Evidence(
                series="data", window=(data.step, view.step), observed=fault.observed, limit=fault.limit, sentence=f"{fault.title}."
            )
            for fault in faults
        ),
        causes=tuple(dict.fromkeys(fault.cause for fault in faults)),
        remedies=tuple({fault.remedy.sentence: fault.remedy for fault in faults}.values()),
        confidence=0.8 if worst.severity is Severity.WARNING else 0.6,
    )  # fmt: skip
