"""A diagnosis written out for people: text for the terminal, Markdown, and the JSON object. Pure: values in, text out.

What comes from a log (names, titles made of names) may hold control characters; they are never sent to a terminal.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from diagnostics import say, stats
from diagnostics.coverage import Coverage
from diagnostics.engine import Engine
from diagnostics.finding import Finding
from diagnostics.history import Floats

BARS = "▁▂▃▄▅▆▇█"
NOT_FINITE = "×"
CURVE_WIDTH = 48
COLOURS = {"critical": "31;1", "warning": "33;1", "info": "36", "healthy": "32;1"}
SIGNS = {"critical": "✖", "warning": "▲", "info": "·"}
CURVES = (("train_loss", "train"), ("val_loss", "val"), ("grad_norm", "grad norm"))


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """What was found in one source."""

    source: str
    verdict: str
    findings: tuple[Finding, ...]
    coverage: Coverage
    curves: tuple[tuple[str, str], ...]
    """(name, curve with its first and last value), one line each."""

    def to_mapping(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "source": self.source,
            "verdict": self.verdict,
            "findings": [finding.to_mapping() for finding in self.findings],
            "coverage": self.coverage.to_mapping(),
        }


def make_report(source: str, engine: Engine) -> Report:
    """The engine's answers on one source."""
    curves = []
    for role, words in CURVES:
        series = engine.series(role)
        if series is not None:
            curves.append((words, _curve_line(series.curve, series.nonfinite.trailing)))
    return Report(
        source=source,
        verdict=engine.verdict(),
        findings=tuple(engine.findings()),
        coverage=engine.coverage(),
        curves=tuple(curves),
    )


def sparkline(values: Floats, width: int = CURVE_WIDTH) -> str:
    """Finite values as a row of bars, lowest to highest."""
    if not values.size:
        return ""
    parts = stats.block_means(values, width)
    low, high = float(parts.min()), float(parts.max())
    scale = (len(BARS) - 1) / (high - low) if high > low else 0.0
    return "".join(BARS[round((value - low) * scale)] for value in parts.tolist())


def as_text(report: Report, *, colour: bool = False) -> str:
    """For the terminal."""

    def paint(text: str, kind: str) -> str:
        return f"\x1b[{COLOURS[kind]}m{text}\x1b[0m" if colour and kind in COLOURS else text

    lines = [f"{safe(report.source)}: {paint(report.verdict, report.verdict)}"]
    lines += [f"  {words:>9} {curve}" for words, curve in report.curves]
    for finding in report.findings:
        kind = str(finding.severity)
        lines += ["", f"  {paint(SIGNS[kind] + ' ' + kind, kind)}  {safe(finding.title)}", *_details(finding)]
    lines += _coverage_lines(report.coverage)
    return "\n".join(lines) + "\n"


def as_markdown(report: Report) -> str:
    """For an issue or a chat."""
    lines = [f"## `{safe(report.source)}`: {report.verdict}", ""]
    for finding in report.findings:
        lines += [f"### {finding.severity}: {safe(finding.title)}", ""]
        lines += [f"- {safe(line.strip())}" for line in _details(finding)] + [""]
    if report.coverage.skipped:
        lines += ["Not judged:", ""] + [f"- `{rule}`: {why}" for rule, why in report.coverage.skipped.items()] + [""]
    return "\n".join(lines)


def safe(text: str) -> str:
    """Text without what could steer a terminal."""
    return "".join(char if char.isprintable() else "?" for char in text)


def _details(finding: Finding) -> list[str]:
    if finding.because:
        return [f"      {safe(finding.because)}"]
    place = f"{finding.rule}, from step {say.step(finding.first_step)}, known at step {say.step(finding.detected_step)}"
    lines = [f"      {place}, {finding.status}"]
    lines += [f"      seen    {safe(item.series)}: {safe(item.sentence)}" for item in finding.evidence]
    lines += [f"      likely  {item.cause}: {item.why}" for item in finding.causes]
    return lines + [f"      do      {remedy.sentence}{_patch(remedy.patch)}" for remedy in finding.remedies]


def _patch(patch: Any) -> str:
    return "" if not patch else "  [" + ", ".join(f"{name} {value}" for name, value in patch.items()) + "]"


def _coverage_lines(coverage: Coverage) -> list[str]:
    lines: list[str] = []
    for why in dict.fromkeys(coverage.skipped.values()):
        names: Sequence[str] = [rule for rule, reason in coverage.skipped.items() if reason == why]
        lines.append(f"  not judged: {', '.join(names)} ({why})")
    lines += [f"  broken: {rule} ({safe(why)})" for rule, why in coverage.failed.items()]
    return ["", *lines] if lines else []


def _curve_line(values: Floats, bad_at_end: int) -> str:
    if not values.size:
        return NOT_FINITE * min(3, bad_at_end) + " no finite value"
    first, last = float(values[0]), float(values[-1])
    end = f"{say.number(last)}, then not finite" if bad_at_end else say.number(last)
    tail = NOT_FINITE * min(3, bad_at_end)
    return f"{sparkline(values)}{tail} {say.number(first)} → {end}" if math.isfinite(first) else tail
