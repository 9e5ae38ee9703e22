"""A diagnosis written out for people: text for the terminal, Markdown, and the JSON object. Pure: values in, text out.

What comes from a log (names, titles made of names) may hold control characters; they are never sent to a terminal.
"""

from __future__ import annotations

import math
import textwrap
from dataclasses import dataclass
from typing import Any, NamedTuple

from diagnostics import reading, say, stats
from diagnostics.coverage import Coverage
from diagnostics.engine import Engine
from diagnostics.finding import Finding
from diagnostics.history import Floats
from diagnostics.reading import Reading

BARS = "▁▂▃▄▅▆▇█"
NOT_FINITE = "×"
CURVE_WIDTH, LEAST_WIDTH = 48, 12
"""Bars of a curve where the width of the terminal is not known, and where it is tiny."""
COLOURS = {"critical": "31;1", "warning": "33;1", "info": "36", "healthy": "32;1"}
SIGNS = {"critical": "✖", "warning": "▲", "info": "·"}
CURVES = (("train_loss", "train"), ("val_loss", "val"), ("grad_norm", "grad norm"))


class Curve(NamedTuple):
    """A series' whole history in few points."""

    words: str
    values: Floats
    bad_at_end: int
    """Non-finite points after the last finite one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """What was found in one source."""

    source: str
    verdict: str
    findings: tuple[Finding, ...]
    coverage: Coverage
    reading: Reading
    """What was taken for what."""
    curves: tuple[Curve, ...]

    def to_mapping(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "source": self.source,
            "verdict": self.verdict,
            "findings": [finding.to_mapping() for finding in self.findings],
            "coverage": self.coverage.to_mapping(),
            "read": self.reading.to_mapping(),
        }


def make_report(source: str, engine: Engine) -> Report:
    """The engine's answers on one source."""
    curves = []
    for role, words in CURVES:
        series = engine.series(role)
        if series is not None:
            curves.append(Curve(words, series.curve, series.nonfinite.trailing))
    return Report(
        source=source,
        verdict=engine.verdict(),
        findings=tuple(engine.findings()),
        coverage=engine.coverage(),
        reading=engine.reading(),
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


def as_text(report: Report, *, colour: bool = False, width: int = 0) -> str:
    """For the terminal, in lines of `width` characters at most; 0: the lines are for another program, one a sentence."""

    def paint(text: str, kind: str) -> str:
        return f"\x1b[{COLOURS[kind]}m{text}\x1b[0m" if colour and kind in COLOURS else text

    source = safe(report.source)
    lines = [f"{source}: {paint(report.verdict, report.verdict)}{_reserve(report)}"]
    lines += [f"  {curve.words:>9} {_curve_line(curve, width)}" for curve in report.curves]
    for finding in report.findings:
        kind = str(finding.severity)
        sign = f"{SIGNS[kind]} {kind}"
        title, *more = _wrapped(f"  {sign}  {safe(finding.title)}", width, len(sign) + 4)
        lines += ["", title.replace(sign, paint(sign, kind), 1), *more]
        lines += [part for line in _details(finding) for part in _wrapped(line, width, 14)]
    lines += [""] + [part for line in _notes(report) for part in _wrapped(f"  {line}", width, 6)]
    return "\n".join(lines).rstrip("\n") + "\n"


def as_markdown(report: Report) -> str:
    """For an issue or a chat."""
    lines = [f"## `{safe(report.source)}`: {report.verdict}{_reserve(report)}", ""]
    for finding in report.findings:
        lines += [f"### {finding.severity}: {safe(finding.title)}", ""]
        lines += [f"- {safe(line.strip())}" for line in _details(finding)] + [""]
    if said := reading.sentence(report.reading):
        lines += [f"Read: {safe(said)}", ""]
    if report.coverage.lacks:
        lines += ["Not judged:", ""] + [f"- {line}" for line in report.coverage.by_lack()] + [""]
    return "\n".join(lines)


def safe(text: str) -> str:
    """Text without what could steer a terminal."""
    return "".join(char if char.isprintable() else "?" for char in text)


def _reserve(report: Report) -> str:
    """What a verdict is worth that was given without a loss: the word alone would be taken for an all-clear."""
    return "" if {"train_loss", "val_loss"} & report.reading.roles.keys() else ", but no loss was read"


def _wrapped(line: str, width: int, indent: int) -> list[str]:
    """A line as lines of at most `width`, those after the first indented so that the eye finds the next sentence."""
    if not width or len(line) <= width:
        return [line]
    begin = line[: len(line) - len(line.lstrip())]
    hanging = " " * min(indent, max(0, width - 20))
    return textwrap.wrap(
        line.lstrip(), width, initial_indent=begin, subsequent_indent=hanging, break_on_hyphens=False, tabsize=1,
        drop_whitespace=True,
    )  # fmt: skip


def _details(finding: Finding) -> list[str]:
    if finding.because:
        return [f"      {safe(finding.because)}"]
    place = f"{finding.rule}, from step {say.step(finding.first_step)}, {finding.known} at step {say.step(finding.detected_step)}"
    lines = [f"      {place}, {finding.status}"]
    lines += [f"      seen    {safe(item.series)}: {safe(item.sentence)}" for item in finding.evidence]
    lines += [f"      likely  {item.cause}: {item.why}" for item in finding.causes]
    return lines + [f"      do      {remedy.sentence}{_patch(remedy.patch)}" for remedy in finding.remedies]


def _patch(patch: Any) -> str:
    return "" if not patch else "  [" + ", ".join(f"{name} {value}" for name, value in patch.items()) + "]"


def _notes(report: Report) -> list[str]:
    """How it was read, what was not judged, and what broke."""
    said = reading.sentence(report.reading)
    lines = [f"read: {safe(said)}"] if said else []
    lines += [f"not judged: {safe(line)}" for line in report.coverage.by_lack()]
    return lines + [f"broken: {rule} ({safe(why)})" for rule, why in report.coverage.failed.items()]


def _curve_line(curve: Curve, width: int) -> str:
    tail = NOT_FINITE * min(3, curve.bad_at_end)
    if not curve.values.size:
        return tail + " no finite value"
    first, last = float(curve.values[0]), float(curve.values[-1])
    if not math.isfinite(first):
        return tail
    ends = f" {say.number(first)} → {say.number(last)}" + (", then not finite" if curve.bad_at_end else "")
    bars = max(LEAST_WIDTH, width - len(f"  {curve.words:>9} {tail}{ends}")) if width else CURVE_WIDTH
    return f"{sparkline(curve.values, bars)}{tail}{ends}"
