"""The rule `memorized-output`: the model writes passages of its training text, word for word."""

from __future__ import annotations

from diagnostics import texts
from diagnostics.finding import Cause, Evidence, Remedy, Severity, Sighting
from diagnostics.rule import Life, rule
from diagnostics.samples import Round, Sample, excerpt
from diagnostics.view import RunView

RECENT = 3
"""Rounds that are looked at."""
WHOLE, WHOLE_FROM = 0.9, 100
"""A text of so many characters that is copied to this share is a copy, though it had no room for a long one."""
LOOP = 0.5
"""Share of repeated 4-grams from which a text is a loop: rulers and tables are found everywhere."""

Found = tuple[Round, Sample]


@rule(
    "memorized-output",
    needs=(),
    looks_at="samples",
    measured=True,
    helps=("val_loss",),
    blind="copies of the training text cannot be seen",
    severity=Severity.WARNING,
    life=Life(close_after_points=3),
)
def memorized_output(
    view: RunView, *, tokens: float = 50, characters: float = 150, least: int = 2, places: int = 3
) -> Sighting | None:
    """The model writes passages of its training text, word for word.

    ## What it means
    It has learned the text by heart instead of the language: given an opening, the exact continuation comes out.

    ## Why it matters
    It says nothing that was not said, new prompts find it helpless, and private or protected text gets out.

    ## How it is detected
    The worker sends with each sample the longest run of what was written that stands so in the training text. A run of at
    least `tokens` tokens and `characters` characters is a copy (one of the two where only one is known), and so is a text
    of 100 characters of which nine tenths are copied. `least` copies in the last three rounds make a warning; it is
    critical while the validation loss stands above its best. Passages that stand at more than `places` places of the
    training text are boilerplate that any model learns, and loops are no passages: neither counts.

    ## Likely causes
    - Severe overfitting: too many epochs over too little text.
    - Passages that stand in the data several times: they are learned first.

    ## What to do
    - Stop at the lowest validation loss; add dropout; fewer epochs.
    - More text, and near-duplicates taken out.

    ## When it is wrong
    Proverbs, licences, verses and laws are the same wherever they stand: a model trained on them must know them.

    ## Options
    - `tokens` (50): of one run.
    - `characters` (150): of one run.
    - `least` (2): copies.
    - `places` (3): in the training text.

    ## Example
    Fires:
        config: max_steps=1000
        step: 100 200 300
        train/loss: 2.1 1.2 0.4
        samples: 200 2 1 verbatim_tokens=61 verbatim_characters=231 The harbour lay quiet under a thin layer of fog, and only the bell of the outer buoy told the boats which way was home. Nobody on the pier spoke; the old men had said all there was to say about the weather, years ago.
    Silent:
        config: max_steps=1000
        step: 100 200 300
        train/loss: 2.1 1.6 1.4
        samples: 200 4 1 verbatim_tokens=9 verbatim_characters=38 The harbour lay quiet under a thin layer of fog, and only the bell of the outer buoy told the boats which way was home. Nobody on the pier spoke; the old men had said all there was to say about the weather, years ago.

    ## References
    - Carlini et al., Quantifying Memorization Across Neural Language Models, 2023.
    - Lee et al., Deduplicating Training Data Makes Language Models Better, 2022.
    """
    found = [
        (one, sample)
        for one in view.rounds[-RECENT:]
        for sample in one.samples
        if _is_copy(sample, tokens, characters, places)
    ]
    return _sighting(view, found, tokens, characters) if len(found) >= least else None


def _is_copy(sample: Sample, tokens: float, characters: float, places: int) -> bool:
    size, length = sample.verbatim_tokens, sample.verbatim_characters
    if (size is None and length is None) or (sample.verbatim_places or 0) > places:
        return False
    written = len(sample.text)
    whole = length is not None and length >= max(WHOLE_FROM, WHOLE * written)
    long = (size is None or size >= tokens) and (length is None or length >= characters)
    return (whole or long) and texts.repeated_share(sample.text) < LOOP


def _longest(found: list[Found]) -> Sample:
    return max(
        (sample for _, sample in found), key=lambda one: (one.verbatim_characters or 0, one.verbatim_tokens or 0)
    )


def _length(sample: Sample) -> tuple[float, str]:
    """The length of the copy as a number and in words."""
    if sample.verbatim_characters is not None:
        return sample.verbatim_characters, f"{sample.verbatim_characters:,.0f} characters"
    return sample.verbatim_tokens or 0.0, f"{sample.verbatim_tokens or 0:,.0f} tokens"


def _sighting(view: RunView, found: list[Found], tokens: float, characters: float) -> Sighting:
    longest = _longest(found)
    observed, words = _length(longest)
    first, last = found[0][0].step, found[-1][0].step
    evidence = Evidence(
        series="samples",
        window=(first, last),
        observed=observed,
        limit=characters if longest.verbatim_characters is not None else tokens,
        sentence=f"{len(found)} recent samples copy the training text, the longest {words} word for word: "
        f"“{excerpt(longest.text)}”",
    )
    grave = view.rising_validation
    return Sighting(
        severity=Severity.CRITICAL if grave else Severity.WARNING,
        title=f"Samples copy the training text since step {{since}}: {words} word for word",
        first_step=first,
        evidence=(evidence,),
        causes=_causes(grave),
        remedies=_remedies(view, grave),
        confidence=0.95 if grave else 0.85,
    )


def _causes(grave: bool) -> tuple[Cause, ...]:
    why = "the validation loss stands above its best" if grave else "watch the validation loss: it will turn"
    return (
        Cause("overfitting", f"the text was learned by heart; {why}"),
        Cause("too little text for so many epochs", "the same passages are seen again and again"),
        Cause("repeated passages in the data", "what stands there several times is learned first"),
    )


def _remedies(view: RunView, grave: bool) -> tuple[Remedy, ...]:
    best = view.checkpoint_before(view.val.lowest.step) if grave and view.val is not None else None
    return (
        Remedy("Train with dropout, from the lowest validation loss on.", {"dropout": 0.1}, best),
        Remedy("Train on more text, or for fewer epochs."),
        Remedy("Take near-duplicates out of the data."),
    )
