"""One word for a run: healthy, warning or critical, by the gravest finding that nothing else explains."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from diagnostics.finding import Finding

Verdict = Literal["healthy", "warning", "critical"]


def verdict(findings: Iterable[Finding]) -> Verdict:
    """The verdict on a run with these findings.

    Findings of severity `info` leave a run healthy. What has resolved counts with the severity that it kept: a spike
    that recovered is info, a NaN that happened stays what it was.
    """
    gravest = max((finding.severity.rank for finding in findings if finding.because is None), default=0)
    return ("healthy", "warning", "critical")[gravest]
