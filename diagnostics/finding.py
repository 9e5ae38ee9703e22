"""What a rule says about a run, as frozen values: sightings go in, findings come out. Knows no rule and no engine."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Severity(StrEnum):
    """How bad it is. `info` is worth knowing, `warning` costs quality or time, `critical` ruins the run."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"

    @property
    def rank(self) -> int:
        """0 info, 1 warning, 2 critical."""
        return ("info", "warning", "critical").index(self.value)


def worst(*severities: Severity) -> Severity:
    """The gravest of them."""
    return max(severities, key=lambda severity: severity.rank)


@dataclass(frozen=True, kw_only=True, slots=True)
class Evidence:
    """One observation that can be drawn on a curve: the series as it was logged, the window in steps, the number seen
    and the number it was held against, and a sentence."""

    series: str
    window: tuple[int, int]
    observed: float
    limit: float | None
    sentence: str


@dataclass(frozen=True, slots=True)
class Cause:
    """A likely cause and why it is thought so. Lists of causes are ranked, likeliest first."""

    cause: str
    why: str


@dataclass(frozen=True, slots=True)
class Remedy:
    """What to do: a sentence, the settings to change (a value, or a factor such as "×0.1"), and where to resume from."""

    sentence: str
    patch: Mapping[str, float | int | str] | None = None
    checkpoint: int | None = None
    """Step of the last checkpoint known to be good, or None to start anew or go on."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Sighting:
    """What a rule returns when it sees its illness at this moment. The engine gives it an identity and a life."""

    severity: Severity
    title: str
    """What a person reads first: the illness, since when, and the one number that matters."""
    first_step: int
    """Where it began, as far as the data tells."""
    evidence: tuple[Evidence, ...]
    causes: tuple[Cause, ...]
    remedies: tuple[Remedy, ...]
    confidence: float
    """0 to 1."""
    subject: str = ""
    """Tells several findings of one rule apart (a series name); empty when there is one a run."""
    over: bool = False
    """Seen for the last time: it is known to be over with this very look."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """A rule that fired on a run, with its life so far. Identity is (run, rule, subject)."""

    rule: str
    subject: str
    status: str
    """`open` or `resolved`."""
    severity: Severity
    title: str
    first_step: int
    detected_step: int
    """The step at which an onlooker would first have known."""
    last_step: int
    """The last step at which it was seen."""
    resolved_step: int | None
    occurrences: int
    evidence: tuple[Evidence, ...]
    causes: tuple[Cause, ...]
    remedies: tuple[Remedy, ...]
    confidence: float
    because: str | None = field(default=None)
    """Why this finding is not the one to act on: the sentence that names the finding which explains it."""

    @property
    def known(self) -> str:
        """How its `detected_step` is spoken of: what comes back keeps the step at which it was known the first time."""
        return "first known" if self.detected_step < self.first_step else "known"

    def to_mapping(self) -> dict[str, Any]:
        """Plain JSON values; non-finite numbers are the strings "NaN", "Infinity", "-Infinity"."""
        return {
            "rule": self.rule,
            "subject": self.subject,
            "status": self.status,
            "severity": str(self.severity),
            "title": self.title,
            "first_step": self.first_step,
            "detected_step": self.detected_step,
            "last_step": self.last_step,
            "resolved_step": self.resolved_step,
            "occurrences": self.occurrences,
            "evidence": [_evidence(item) for item in self.evidence],
            "causes": [{"cause": item.cause, "why": item.why} for item in self.causes],
            "remedies": [_remedy(item) for item in self.remedies],
            "confidence": round(self.confidence, 3),
            "because": self.because,
        }


def json_number(value: float | None) -> float | str | None:
    """A number that strict JSON can carry: non-finite ones become their names."""
    if value is None or math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _evidence(item: Evidence) -> dict[str, Any]:
    return {
        "series": item.series,
        "window": list(item.window),
        "observed": json_number(item.observed),
        "limit": json_number(item.limit),
        "sentence": item.sentence,
    }


def _remedy(item: Remedy) -> dict[str, Any]:
    patch = None if item.patch is None else dict(item.patch)
    return {"sentence": item.sentence, "patch": patch, "checkpoint": item.checkpoint}
