"""The rule `repetitive-output`: the model writes the same phrase again and again."""

from __future__ import annotations

from functools import partial
from statistics import median

from diagnostics import say, texts
from diagnostics.facts import Facts
from diagnostics.finding import Cause, Evidence, Remedy, Severity, Sighting
from diagnostics.rule import Life, rule
from diagnostics.samples import GREEDY_BELOW, Judged, Sample, excerpt, grown_up, trailing_bad
from diagnostics.view import RunView

LONG, MIDDLE, SHORT = 200, 150, 100
"""Characters from which a text is judged as it is, from which ever less strictly, and from which at all."""
STRICTER = 1.5
"""Times the limit of the compression for short texts; of their repeated share, what is left of the limit is halved twice."""
LESS, TOGETHER = 0.7, 1.25
"""Share of `repeated` that is enough where compression and share are together so many times both limits: windows of code and
manuals come there as rarely as past the limits themselves, and a loop that changes a digit at each turn does."""


@rule(
    "repetitive-output",
    needs=(),
    looks_at="samples",
    helps=("val_loss",),
    blind="repeated phrases cannot be seen",
    severity=Severity.WARNING,
    life=Life(close_after_points=2),
)
def repetitive_output(
    view: RunView, *, compression: float = 2.4, repeated: float = 0.5, share: float = 0.75, least: int = 3
) -> Sighting | None:
    """The model writes the same phrase again and again.

    ## What it means
    Its samples run into loops: once a phrase stands there, the likeliest continuation is the same phrase.

    ## Why it matters
    The text is useless, and the loss does not show it: the loss is measured on text that people wrote.

    ## How it is detected
    Over the last 500 characters of a sample, blanks made one: bytes ÷ compressed bytes above `compression` **and** more
    than `repeated` of the 4-grams of words seen before (seven tenths of that where it compresses the further for it). A round of samples counts when at least `share` of its texts are
    such; two rounds, one after the other, with `least` such texts between them make a warning. A text that is nearly all
    blanks is a loop too. Texts of fewer than 150
    characters must be loops through and through (by degrees from 200 on), those under 100 are not judged, nor are rounds before 5 % of the
    planned steps (the first two where the plan is unknown).

    ## Likely causes
    - Overfitting: few phrases have taken all the probability.
    - Decoding that is too greedy: a low temperature, a small top-k.
    - Duplicates or boilerplate in the data.

    ## What to do
    - Sample at a temperature of 0.8 to 1.0, or with a repetition penalty, and see whether the loops stay.
    - Look for duplicates in the data and take them out.
    - If the validation loss rises: stop at its minimum, add dropout.

    ## When it is wrong
    Greedy decoding that was asked for (a temperature under 0.3, top-k of 1) loops in healthy models, and is not judged.
    Models trained on tables, logs or verse with a refrain may repeat themselves rightly.

    ## Options
    - `compression` (2.4): bytes ÷ compressed bytes.
    - `repeated` (0.5): share of repeated 4-grams.
    - `share` (0.75): of a round's texts.
    - `least` (3): texts in all.

    ## Example
    Fires:
        config: max_steps=1000
        step: 100 200 300 400 500
        train/loss: 3.1 2.4 2.0 1.8 1.7
        samples: 200 4 12 and the king said to the king that he was
        samples: 400 4 12 and the king said to the king that he was
    Silent:
        config: max_steps=1000
        step: 100 200 300 400 500
        train/loss: 3.1 2.4 2.0 1.8 1.7
        samples: 200 1 12 and the king said to the king that he was
        samples: 200 3 1 The harbour lay quiet under a thin layer of fog, and only the bell of the outer buoy told the boats which way was home. Nobody on the pier spoke; the old men had said all there was to say about the weather, years ago, and the young ones were asleep.
        samples: 400 4 1 The harbour lay quiet under a thin layer of fog, and only the bell of the outer buoy told the boats which way was home. Nobody on the pier spoke; the old men had said all there was to say about the weather, years ago, and the young ones were asleep.

    ## References
    - Holtzman et al., The Curious Case of Neural Text Degeneration, 2020.
    - Welleck et al., Neural Text Generation with Unlikelihood Training, 2020.
    """
    judge = partial(_repeats, facts=view.facts, compression=compression, repeated=repeated)
    found = trailing_bad(grown_up(view.rounds, view.facts.planned_steps), judge, share=share, least=least)
    return _sighting(view, found, repeated) if found else None


def _repeats(sample: Sample, *, facts: Facts, compression: float, repeated: float) -> bool | None:
    length = len(texts.ending(sample.text))
    if sample.asked_greedy(facts.temperature, facts.top_k):
        return None
    if texts.loops(sample.text):
        return True
    if length < SHORT:
        return None
    # By degrees: a text of 200 characters that begins with a line end has 199.
    short = min(1.0, max(0, LONG - length) / (LONG - MIDDLE))
    compression *= 1 + (STRICTER - 1) * short
    repeated += 0.75 * (1 - repeated) * short
    squeezed, again = texts.compression(sample.text), texts.repeated_share(sample.text)
    if not (squeezed > compression and again > LESS * repeated):
        return False
    return again > repeated or squeezed * again > TOGETHER * compression * repeated


def _sighting(view: RunView, found: list[Judged], limit: float) -> Sighting:
    last = found[-1]
    seen = median([texts.repeated_share(sample.text) for sample in last.bad])
    sentence = (
        f"{len(last.bad)} of {last.count} samples at step {say.step(last.round.step)} repeat themselves "
        f"({say.percent(seen)} of their 4-grams stood there before), for {len(found)} rounds now: "
        f"“{excerpt(last.bad[0].text)}”"
    )
    first = found[0].round.step
    evidence = Evidence(
        series="samples", window=(first, last.round.step), observed=seen, limit=limit, sentence=sentence
    )
    return Sighting(
        severity=Severity.WARNING,
        title=f"Samples repeat the same phrases since step {{since}}: {say.percent(seen)} of their 4-grams are repeats",
        first_step=first,
        evidence=(evidence,),
        causes=_causes(view, last.bad[0]),
        remedies=_remedies(view),
        confidence=0.9 if len(found) > 2 else 0.8,
    )


def _causes(view: RunView, sample: Sample) -> tuple[Cause, ...]:
    temperature = sample.temperature if sample.temperature is not None else view.facts.temperature
    overfit = Cause("overfitting", "few phrases have taken all the probability; a rising validation loss would show it")
    greedy = Cause("decoding too greedy", "sample once at a temperature of 1.0: loops that go away were the decoding's")
    data = Cause("duplicates in the data", "a phrase that is seen a thousand times is the likeliest anywhere")
    if view.rising_validation:
        return (overfit, data, greedy)
    if temperature is not None and GREEDY_BELOW <= temperature < 0.7:
        return (greedy, overfit, data)
    return (data, greedy, overfit)


def _remedies(view: RunView) -> tuple[Remedy, ...]:
    sample = Remedy("Sample at a temperature of 1.0 and see whether the loops stay.", {"temperature": 1.0})
    clean = Remedy("Take duplicates and boilerplate out of the data.")
    if not view.rising_validation or view.val is None:
        return (sample, clean)
    best = view.checkpoint_before(view.val.lowest.step)
    return (
        Remedy("Go back to the lowest validation loss and train with dropout.", {"dropout": 0.1}, best),
        sample,
        clean,
    )
