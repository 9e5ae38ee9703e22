"""The texts that a model wrote, in rounds: all samples of one step. What the rules on samples look at; bounded memory.

A round is complete when the log goes on at another step, or ends: that is decided by the events alone, so that a replay
judges the same rounds as the live run. Knows no rule.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from diagnostics.coverage import Lack

KEPT_ROUNDS = 8
MAX_SAMPLES = 64
"""Samples of one round that are kept; later ones are passed over."""
MAX_TEXT = 4000
"""Characters of a sample that are kept, its last ones: a loop goes on to the end."""
GREEDY_BELOW = 0.3
"""A temperature at which a model repeats itself because it was asked to."""
YOUNG = 0.05
"""Share of the planned steps before which any output is normal."""
FIRST_ROUNDS = 2
"""Rounds that are not judged where the plan is unknown."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """What the model wrote after a prompt, without the prompt. Numbers that were not sent are None."""

    text: str
    temperature: float | None = None
    top_k: float | None = None
    verbatim_tokens: float | None = None
    """Length of the longest run of written tokens that stands so in the training text."""
    verbatim_characters: float | None = None
    """The same in characters."""
    verbatim_places: float | None = None
    """At how many places of the training text it stands."""

    def asked_greedy(self, temperature: float | None, top_k: float | None) -> bool:
        """Whether the likeliest token was asked for; the arguments hold where the sample says nothing of its own."""
        if self.temperature is not None or self.top_k is not None:
            temperature, top_k = self.temperature, self.top_k
        return top_k == 1 or (temperature is not None and temperature < GREEDY_BELOW)


@dataclass(frozen=True, kw_only=True, slots=True)
class Round:
    """The samples of one step. `number` counts the rounds of the run from 1."""

    step: int
    number: int
    samples: tuple[Sample, ...]


@dataclass(frozen=True, slots=True)
class Judged:
    """A round with the samples that could be judged, and those of them that were found bad."""

    round: Round
    count: int
    bad: tuple[Sample, ...]


class SampleLog:
    """Gathers samples into rounds and keeps the last few."""

    def __init__(self) -> None:
        self.rounds: deque[Round] = deque(maxlen=KEPT_ROUNDS)
        self.count = 0
        """Complete rounds so far."""
        self.measured = False
        """Whether any sample said how much of it stands in the training text."""
        self._open: list[Sample] = []
        self._logged = self._step = 0

    def lacking(self, measured: bool, blind: str) -> Lack | None:
        """Why a rule on samples (on measured ones) cannot judge; None when it can."""
        if not self.count and not self._open:
            return Lack("no text samples", blind, "`run.sample(prompt, text, step)`")
        if measured and not self.measured:
            return Lack("no sample says how much it copies", blind, "`run.sample(…, verbatim_tokens=…)`")
        return None

    def add(self, sample: Sample, logged: int, step: int) -> None:
        """Take a sample of the round at hand, as it was logged at a step that lies at `step`; ask `due` before."""
        self._logged, self._step = logged, step
        self.measured = self.measured or sample.verbatim_tokens is not None or sample.verbatim_characters is not None
        if len(self._open) < MAX_SAMPLES:
            self._open.append(sample)

    @property
    def open(self) -> bool:
        """Whether a round is at hand."""
        return bool(self._open)

    def due(self, step: int | None) -> bool:
        """Whether something at `step` (None: the end) completes the round at hand."""
        return bool(self._open) and step != self._logged

    def close(self) -> None:
        """Complete the round at hand."""
        self.count += 1
        self.rounds.append(Round(step=self._step, number=self.count, samples=tuple(self._open)))
        self._open = []

    def rewind(self, step: int) -> None:
        """Forget the rounds after `step`."""
        kept = [one for one in self.rounds if one.step <= step]
        self.rounds.clear()
        self.rounds.extend(kept)
        self._open = []


def read_sample(event: Mapping[str, object], number: Callable[[object], float | None]) -> Sample | None:
    """The sample in an event, or None when it holds no text. `number` reads numbers as the engine does."""
    text, prompt = event.get("text"), event.get("prompt")
    if not isinstance(text, str):
        return None
    written = text.removeprefix(prompt) if isinstance(prompt, str) and prompt else text
    values = {
        name: value
        for name in ("temperature", "top_k", "verbatim_tokens", "verbatim_characters", "verbatim_places")
        if (value := number(event.get(name))) is not None and math.isfinite(value) and value >= 0
    }
    return Sample(text=written[-MAX_TEXT:], **values)


def grown_up(rounds: Iterable[Round], planned_steps: int | None) -> list[Round]:
    """The rounds that are old enough to be judged: an untrained model may write anything."""
    if planned_steps:
        return [one for one in rounds if one.step >= YOUNG * planned_steps]
    return [one for one in rounds if one.number > FIRST_ROUNDS]


def trailing_bad(
    rounds: Iterable[Round], judge: Callable[[Sample], bool | None], *, share: float, least: int
) -> list[Judged]:
    """The last rounds, one after another, in which at least `share` of the samples are bad; oldest first.

    `judge` says None of a sample that cannot be judged; rounds of such samples alone are passed over. Empty unless there
    are two such rounds with at least `least` bad samples between them.
    """
    found: list[Judged] = []
    for one in reversed(list(rounds)):
        verdicts = [(sample, verdict) for sample in one.samples if (verdict := judge(sample)) is not None]
        if not verdicts:
            continue
        bad = tuple(sample for sample, verdict in verdicts if verdict)
        if len(bad) < share * len(verdicts):
            break
        found.insert(0, Judged(one, len(verdicts), bad))
    return found if len(found) >= 2 and sum(len(one.bad) for one in found) >= least else []


def excerpt(text: str, length: int = 60) -> str:
    """The end of a text on one line, for a sentence; what cannot be shown becomes "?"."""
    line = " ".join("".join(char if char.isprintable() or char.isspace() else "?" for char in text).split())
    return f"…{line[-length:]}" if len(line) > length else line
