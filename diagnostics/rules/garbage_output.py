"""The rule `garbage-output`: what the model writes is no text."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from diagnostics import say, texts
from diagnostics.finding import Cause, Evidence, Remedy, Severity, Sighting
from diagnostics.rule import Life, rule
from diagnostics.samples import Judged, Sample, excerpt, grown_up, trailing_bad
from diagnostics.view import RunView

ENOUGH = 40
"""Characters from which shares mean something."""

RARE, COMMON_TEXT, STRANGE = 0.002, 0.95, 0.15
"""Share of the training text below which a character is rare; what the others must make up together for the text to be
one of letters; and the share of rare ones in a sample that no model which was trained on it writes."""


@rule(
    "garbage-output",
    needs=(),
    looks_at="samples",
    helps=("train_loss",),
    blind="output that is no text cannot be seen",
    severity=Severity.WARNING,
    life=Life(close_after_points=2),
)
def garbage_output(
    view: RunView, *, unprintable: float = 0.05, dominant: float = 0.5, share: float = 0.75, least: int = 3
) -> Sighting | None:
    """What the model writes is no text: unreadable characters, one token alone, or nothing.

    ## What it means
    Either the model has learned nothing yet, or what it puts out is not turned back into text rightly.

    ## Why it matters
    A broken tokenizer map ruins every sample while all curves look healthy.

    ## How it is detected
    A sample is garbage when it is empty or blank; when more than `unprintable` of its characters cannot be read (controls,
    unassigned ones, U+FFFD for bytes that are no text); when one word makes up more than `dominant` of it; or, where the
    run told which characters its training text is made of (`data`), when more than 15 % are rare there. A round
    counts when at least `share` of its texts are garbage; two rounds, one after the other, with `least` such texts
    between them make a warning. Rounds before 5 % of the planned steps are not judged (the first two where the plan is
    unknown): early output may be anything.

    ## Likely causes
    - A tokenizer that does not give its text back, or another one than the model was trained with.
    - Weights that are broken: the loss is not a number, or never fell.
    - Early training, which is normal.

    ## What to do
    - Encode a line of the training text, decode it, compare.
    - Look at the loss: near ln of the vocabulary the model knows nothing, and the text is as it must be.

    ## When it is wrong
    Code, languages that are not written in Latin letters, emoji and layout are text. A model that answers with an end
    token at once writes empty samples, which can be right for some prompts, hardly for three of four.

    ## Options
    - `unprintable` (0.05): share of unreadable characters.
    - `dominant` (0.5): share of the commonest word.
    - `share` (0.75): of a round's texts.
    - `least` (3): texts in all.

    ## Example
    Fires:
        config: max_steps=1000
        step: 100 200 300 400 500
        train/loss: 3.1 2.4 2.0 1.8 1.7
        samples: 200 4 30 the the the
        samples: 400 4 30 the the the
    Silent:
        config: max_steps=1000
        step: 100 200 300 400 500
        train/loss: 3.1 2.4 2.0 1.8 1.7
        samples: 200 4 1 Wer hat an der Uhr gedreht? Ist es wirklich schon so spät? Nun, dann gehen wir eben nach Hause und kommen morgen wieder.
        samples: 400 4 1 for key, value in sorted(table.items()): print(key.ljust(20), value, sep=' | ') # one line for each row of the table

    ## References
    - Karpathy, A Recipe for Training Neural Networks, 2019: look at the data as it goes into and comes out of the model.
    """
    judge = partial(_is_garbage, known=_known(view), unprintable=unprintable, dominant=dominant)
    found = trailing_bad(grown_up(view.rounds, view.facts.planned_steps), judge, share=share, least=least)
    return _sighting(view, found, unprintable, dominant) if found else None


def _known(view: RunView) -> Mapping[str, float]:
    """The common characters of the training text and their shares; empty where too little is known of it to judge by."""
    shares = view.data.characters_shares if view.data is not None else {}
    common = {char: share for char, share in shares.items() if share >= RARE}
    return common if sum(common.values()) >= COMMON_TEXT else {}


def _is_garbage(sample: Sample, *, known: Mapping[str, float], unprintable: float, dominant: float) -> bool | None:
    text = sample.text.strip()
    if not text:
        return True
    if len(text) < ENOUGH:
        return None
    strange = bool(known) and _strange_share(text, known) > STRANGE
    return strange or texts.unprintable_share(text) > unprintable or texts.commonest(text)[1] > dominant


def _strange_share(text: str, known: Mapping[str, float]) -> float:
    """Share of the characters that are none of the training text's common ones."""
    return sum(char not in known for char in text) / len(text)


def _sighting(view: RunView, found: list[Judged], unprintable: float, dominant: float) -> Sighting:
    last = found[-1]
    kind, observed, limit, cause = _kind(last.bad[0], _known(view), unprintable, dominant)
    sentence = f"{len(last.bad)} of {last.count} samples at step {say.step(last.round.step)} are no text, for {len(found)} rounds now: {kind}."
    first = found[0].round.step
    evidence = Evidence(
        series="samples", window=(first, last.round.step), observed=observed, limit=limit, sentence=sentence
    )
    return Sighting(
        severity=Severity.WARNING,
        title=f"Samples are no text since step {{since}}: {kind}",
        first_step=first,
        evidence=(evidence,),
        causes=_causes(view, cause),
        remedies=(
            Remedy("Encode a line of the training text, decode it, and compare; then sample again."),
            Remedy("Go back to the last checkpoint that wrote text.", None, view.good_checkpoint(max(0, first - 1))),
        ),
        confidence=0.9 if len(found) > 2 else 0.8,
    )


def _kind(
    sample: Sample, known: Mapping[str, float], unprintable: float, dominant: float
) -> tuple[str, float, float, Cause]:
    """What is wrong with it in words, the number seen, its limit, and the cause that it speaks for."""
    text = sample.text.strip()
    if not text:
        return (
            "empty",
            0.0,
            1.0,
            Cause("broken output", "non-finite logits, or an end token that is the likeliest always"),
        )
    bad = texts.unprintable_share(text)
    if bad > unprintable:
        broken = Cause("broken tokenizer map", "ids are turned into bytes that are no text: check decode(encode(text))")
        return f"{say.percent(bad)} of the characters cannot be read", bad, unprintable, broken
    strange = _strange_share(text, known) if known else 0.0
    if strange > STRANGE:
        other = Cause(
            "broken tokenizer map",
            "ids are decoded with another table than the text was encoded with: check decode(encode(text))",
        )
        return f"{say.percent(strange)} of the characters are rare in the training text", strange, STRANGE, other
    word, part = texts.commonest(text)
    one = Cause("collapsed model", "one token is the likeliest everywhere: broken weights, or a loss that never fell")
    return f"“{excerpt(word, 20)}” makes up {say.percent(part)}", part, dominant, one


def _causes(view: RunView, first: Cause) -> tuple[Cause, ...]:
    uniform, train = view.uniform_loss, view.train
    untrained = Cause("untrained", "the loss is still near that of knowing nothing: wait, or see why it does not fall")
    if uniform is not None and train is not None and train.level > 0.75 * uniform:
        return (untrained, first)
    return (first, untrained)
