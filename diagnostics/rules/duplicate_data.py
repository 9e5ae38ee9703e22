"""The rule `duplicate-data`: training text that stands there several times."""

from __future__ import annotations

from diagnostics import say
from diagnostics.data import DataFacts
from diagnostics.finding import Cause, Evidence, Remedy, Severity, Sighting
from diagnostics.rule import rule
from diagnostics.samples import excerpt
from diagnostics.view import RunView

COPIED_TOKENS, COPIED_CHARACTERS = 50, 150
"""Length of a copy in a sample that is no chance any more."""


@rule(
    "duplicate-data",
    needs=(),
    looks_at="data",
    helps=("val_loss",),
    blind="copies in the training text cannot be seen",
    severity=Severity.INFO,
)
def duplicate_data(
    view: RunView,
    *,
    some: float = 0.75,
    half: float = 0.5,
    most: float = 0.25,
    documents: float = 0.05,
    places: int = 100,
) -> Sighting | None:
    """Much of the training text is copies of the rest.

    ## What it means
    The model sees the same passages far more often than the number of epochs says.

    ## Why it matters
    What is repeated is learned by heart, at the cost of everything else: a passage of 61 words that stands there often
    enough comes out word for word. Copies that fall on both sides of the split make the validation loss too good.

    ## How it is detected
    The run says which share of its training text would be left if everything stood there once (`distinct`). Less than
    `some` of it is an info, as are more than `documents` copies or near copies among the documents, and one passage
    that stands at `places` places. Less than `most`, which is four times over on average, is a warning; so is less
    than `half` once harm is seen: a validation loss that climbs, or samples that copy the training text.

    ## Likely causes
    - A crawl or a dump that holds the same page many times.
    - The same file under several names; a data set that contains another.
    - A small part that was repeated on purpose to weigh more.

    ## What to do
    - Keep one of each document, compared with white space made even, then remove near copies.
    - Cut repeated passages: headers, licences, navigation.
    - Where a part is repeated on purpose, keep it under four times.

    ## When it is wrong
    Text made of a few patterns (logs, tables, generated exercises) repeats windows without being a copy. A part that is
    repeated on purpose is told too.

    ## Options
    - `some` (0.75): share that is left when everything stands once, for info.
    - `half` (0.5): the same, for a warning once harm is seen.
    - `most` (0.25): the same, for a warning.
    - `documents` (0.05): copies and near copies ÷ documents, for info.
    - `places` (100): places of one passage, for info.

    ## Example
    Fires:
        data: train_tokens=180000 distinct=0.1 repeated=1.0 most_places=12
        train/loss: 4.2 3.6 3.1 2.8
    Silent:
        data: train_tokens=180000 distinct=0.94 repeated=0.11 most_places=28 documents=5080 near_duplicates=35
        train/loss: 4.2 3.6 3.1 2.8

    ## References
    - Lee et al., Deduplicating Training Data Makes Language Models Better, 2022.
    - Hernandez et al., Scaling Laws and Interpretability of Learning from Repeated Data, 2022.
    - Muennighoff et al., Scaling Data-Constrained Language Models, 2023: up to four times costs little.
    """
    data = view.data
    if data is None:
        return None
    left = data.distinct if data.distinct is not None else 1.0
    copies = data.share_of_documents((data.duplicates or 0.0) + (data.near_duplicates or 0.0))
    often = (data.most_places or 0.0) >= places
    if left >= some and copies <= documents and not often:
        return None
    harm = _harm(view)
    severity = Severity.WARNING if left < most or (left < half and harm) else Severity.INFO
    return _sighting(view, data, severity, harm, _title(data, left, some, copies, documents))


def _title(data: DataFacts, left: float, some: float, copies: float, documents: float) -> str:
    if left < some:
        return f"{say.percent(1.0 - left)} of the training text is copies of the rest"
    if copies > documents:
        return f"{say.percent(copies)} of the documents are copies of another, or nearly"
    return f"One passage stands in the training text at {round(data.most_places or 0.0):,} places or more"


def _harm(view: RunView) -> str:
    """What the copies have done already; empty while nothing is seen."""
    if view.rising_validation:
        return "The validation loss stands above its best: the copies are being learned by heart."
    samples = [sample for one in view.rounds[-2:] for sample in one.samples]
    if any(
        (sample.verbatim_tokens or 0.0) >= COPIED_TOKENS or (sample.verbatim_characters or 0.0) >= COPIED_CHARACTERS
        for sample in samples
    ):
        return "Samples copy the training text word for word: it begins with what stands there most often."
    return ""


def _sighting(view: RunView, data: DataFacts, severity: Severity, harm: str, title: str) -> Sighting:
    sentences = [f"{title}."]
    if data.distinct is not None and data.train_tokens:
        sentences.append(
            f"Of {data.train_tokens:,.0f} tokens {data.train_tokens * data.distinct:,.0f} are different text."
        )
    if (data.most_places or 0.0) > 1 and data.most_text:
        sentences.append(
            f"The passage seen most stands at {data.most_places:,.0f} places: “{excerpt(data.most_text)}”."
        )
    observed = data.distinct if data.distinct is not None else 1.0
    evidence = Evidence(
        series="data/distinct", window=(data.step, view.step), observed=observed, limit=None,
        sentence=" ".join([*sentences, harm] if harm else sentences),
    )  # fmt: skip
    return Sighting(
        severity=severity,
        title=title,
        first_step=data.step,
        evidence=(evidence,),
        causes=(
            Cause("the same documents several times", "crawls, dumps and joined data sets hold copies"),
            Cause("passages that many documents share", "headers, licences, navigation"),
            Cause("a part that was repeated on purpose", "to weigh more than the rest"),
        ),
        remedies=(
            Remedy("Keep one of each document (SHA-256 of the text with white space made even), then remove near copies."),
            Remedy("Cut the passages that many documents share."),
        ),
        confidence=0.9 if severity is Severity.WARNING else 0.7,
    )  # fmt: skip
