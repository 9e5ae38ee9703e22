"""Which finding to act on first, and which ones it explains. Pure; knows rule ids only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from diagnostics.finding import Finding

ORDER: tuple[str, ...] = (
    "non-finite-loss",
    "masked-non-finite",
    "non-finite-gradient",
    "learning-rate-too-low",
    "vanishing-gradients",
    "divergence",
    "crashed-run",
    "stalled-run",
    "exploding-gradients",
    "learning-rate-too-high",
    "loss-spike",
    "suspicious-loss",
    "train-val-overlap",
    "learning-rate-schedule",
    "loss-not-decreasing",
    "underfitting",
    "overfitting",
    "garbage-output",
    "repetitive-output",
    "memorized-output",
    "duplicate-data",
    "poor-data",
    "plateau",
    "gpu-memory-pressure",
    "update-ratio",
    "gradient-clip-saturation",
    "data-starved",
    "slow-training",
    "initial-loss",
)
"""Of findings equally grave, the earlier one here is the primary: it is nearer to the root."""

EXPLAINS: Mapping[str, tuple[str, ...]] = {
    "non-finite-loss": (
        "masked-non-finite", "divergence", "exploding-gradients", "learning-rate-too-high", "loss-spike",
        "loss-not-decreasing", "plateau", "vanishing-gradients", "garbage-output", "repetitive-output",
        "non-finite-gradient", "underfitting",
    ),
    "masked-non-finite": (
        "vanishing-gradients", "loss-not-decreasing", "plateau", "learning-rate-too-low", "loss-spike",
        "garbage-output", "repetitive-output", "non-finite-gradient", "underfitting",
    ),
    "learning-rate-too-low": (
        "loss-not-decreasing", "plateau", "vanishing-gradients", "garbage-output", "repetitive-output",
        "underfitting", "update-ratio",
    ),
    "vanishing-gradients": ("loss-not-decreasing", "plateau", "garbage-output", "repetitive-output"),
    "divergence": (
        "exploding-gradients", "learning-rate-too-high", "loss-spike", "loss-not-decreasing", "overfitting",
        "plateau", "garbage-output", "repetitive-output", "gradient-clip-saturation", "underfitting",
    ),
    "learning-rate-too-high": (
        "exploding-gradients", "loss-spike", "loss-not-decreasing", "plateau", "gradient-clip-saturation",
        "underfitting", "update-ratio",
    ),
    "exploding-gradients": ("loss-spike", "gradient-clip-saturation"),
    "loss-not-decreasing": ("plateau", "garbage-output", "repetitive-output", "underfitting"),
    "overfitting": ("plateau", "repetitive-output"),
    "garbage-output": ("repetitive-output",),
    "non-finite-gradient": ("exploding-gradients", "vanishing-gradients", "learning-rate-too-low", "loss-not-decreasing", "plateau"),
    "learning-rate-schedule": ("learning-rate-too-low", "loss-not-decreasing", "plateau"),
    "suspicious-loss": ("overfitting", "plateau"),
    "data-starved": ("slow-training",),
    "underfitting": ("plateau",),
    "crashed-run": ("stalled-run",),
    "duplicate-data": ("train-val-overlap",),
}  # fmt: skip
"""The finding on the left silences those on the right when it is at least as grave, and was not over when they began."""


def arrange(findings: Sequence[Finding]) -> list[Finding]:
    """The findings with `because` set on the explained ones; those to act on first, gravest first."""
    marked = [replace(finding, because=_because(finding, findings)) for finding in findings]
    return sorted(marked, key=_place)


def _because(finding: Finding, others: Sequence[Finding]) -> str | None:
    for other in sorted(others, key=_place):
        over = other.resolved_step is not None and other.resolved_step < finding.first_step
        if not over and finding.rule in EXPLAINS.get(other.rule, ()) and other.severity.rank >= finding.severity.rank:
            return f"{other.rule} explains it: {other.title}"
    return None


def _place(finding: Finding) -> tuple[bool, int, bool, int, int, str]:
    rank = ORDER.index(finding.rule) if finding.rule in ORDER else len(ORDER)
    silenced = finding.because is not None
    return (silenced, -finding.severity.rank, finding.status != "open", rank, finding.first_step, finding.subject)
