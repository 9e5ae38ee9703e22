"""Findings as a reader meets them: the card with its evidence, causes and remedies, and what could not be checked. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dash import dcc, html
from dash.development.base_component import Component

from dashboard.records import FindingRecord
from dashboard.ui import format as fmt
from dashboard.ui import parts, relaunch, theme
from diagnostics import reading
from diagnostics.reading import Reading


def worst_first(findings: Sequence[FindingRecord]) -> list[FindingRecord]:
    """Open before handled before resolved; what another finding explains after it; then by severity, then the earliest."""
    status = {"open": 0, "acknowledged": 1, "muted": 2, "resolved": 3}
    return sorted(
        findings,
        key=lambda one: (
            status.get(one.status, 9),
            bool(one.body.get("because")),
            theme.SEVERITY_ORDER.index(_severity(one)),
            one.first_step,
        ),
    )


def _severity(finding: FindingRecord) -> str:
    return finding.severity if finding.severity in theme.SEVERITIES else "info"


def card(
    finding: FindingRecord,
    drawing: Component | None,
    actions: Sequence[Component] = (),
    *,
    fixable: bool = False,
    became: Component | None = None,
) -> Component:
    """One finding in full. `drawing` is the small window of the curve that the evidence speaks of; with `fixable` its
    remedies can be launched; `became` says what became of those that were."""
    body = finding.body
    evidence = [item for item in body.get("evidence", ()) if isinstance(item, Mapping)]
    return html.Article(
        [
            html.Header([html.H3(fmt.visible(finding.title)), html.Div(actions, className="rw-actions")]),
            html.Div(_facts(finding), className="rw-facts"),
            became,
            html.Div(
                [
                    html.Div([_evidence(evidence), _causes(body.get("causes", ()))], className="rw-finding-side"),
                    html.Div([drawing, _remedies(finding, fixable)], className="rw-finding-side"),
                ],
                className="rw-two",
            ),
        ],
        className=f"rw-finding rw-edge-{_severity(finding)} rw-status-{finding.status}",
    )


def _facts(finding: FindingRecord) -> list[Component]:
    confidence = finding.body.get("confidence")
    facts = [
        parts.severity_badge(_severity(finding)),
        parts.badge(theme.STATUSES.get(finding.status, theme.STATUSES["open"])),
        html.Span(fmt.window(finding.first_step, finding.last_step), className="rw-num"),
        html.Span(
            f"{'first ' if finding.came_back else ''}seen at step {finding.detected_step:,}", className="rw-quiet"
        ),
        dcc.Link(finding.rule, href=f"/rules/{finding.rule}", className="rw-code-link"),
    ]
    if isinstance(confidence, (int, float)):
        facts.append(html.Span(f"confidence {confidence:.0%}", className="rw-quiet"))
    because = finding.body.get("because")
    if because:
        facts.append(html.Span(fmt.visible(str(because)), className="rw-quiet"))
    return facts


def _evidence(evidence: Sequence[Mapping[str, Any]]) -> Component:
    lines = [html.Li(fmt.visible(str(item.get("sentence", "")))) for item in evidence]
    return html.Div([html.H4("Evidence"), html.Ul(lines, className="rw-list")] if lines else None)


def _causes(causes: Sequence[Mapping[str, Any]]) -> Component:
    lines = [
        html.Li([html.Strong(fmt.visible(str(item.get("cause", "")))), html.Div(fmt.visible(str(item.get("why", ""))))])
        for item in causes
    ]
    return html.Div(
        [html.H4("Likely causes, the likeliest first"), html.Ol(lines, className="rw-list")] if lines else None
    )


def _remedies(finding: FindingRecord, fixable: bool) -> Component:
    remedies = [item for item in finding.body.get("remedies", ()) if isinstance(item, Mapping)]
    lines = [
        html.Li(
            [
                fmt.visible(str(item.get("sentence", ""))),
                _patch(item),
                relaunch.fix_button(finding, number) if fixable and item.get("patch") else None,
            ]
        )
        for number, item in enumerate(remedies, start=1)
    ]
    return html.Div([html.H4("What to do"), html.Ul(lines, className="rw-list")] if lines else None)


def _patch(remedy: Mapping[str, Any]) -> Component | None:
    """The settings to change, as they would be typed; from which checkpoint, when one is named."""
    patch, checkpoint = remedy.get("patch") or {}, remedy.get("checkpoint")
    lines = [_change(key, fmt.setting(value)) for key, value in patch.items()]
    if checkpoint is not None:
        lines.append(f"resume from the checkpoint of step {checkpoint:,}")
    return html.Pre("\n".join(lines), className="rw-patch") if lines else None


def _change(name: str, value: str) -> str:
    """`dropout = 0.1`, or `learning_rate × 0.1` where the patch is a factor."""
    return f"{name} × {value.removeprefix('×').strip()}" if value.startswith("×") else f"{name} = {value}"


def evidence_window(finding: FindingRecord) -> tuple[str, int, int] | None:
    """(series, first step, last step) of the first piece of evidence that names a series, or None."""
    for item in finding.body.get("evidence", ()):
        if isinstance(item, Mapping) and item.get("series"):
            first, last = _bounds(item.get("window"), finding)
            return str(item["series"]), first, last
    return None


def _bounds(window: Any, finding: FindingRecord) -> tuple[int, int]:
    if isinstance(window, (list, tuple)) and len(window) == 2:
        return int(window[0]), int(window[1])
    return finding.first_step, finding.last_step


def read_as(report: Mapping[str, Any]) -> Component | None:
    """What was taken for what, where the names do not say it themselves: a log that was read wrongly is seen to be."""
    found = Reading.of(report.get("read") or {})
    if not found.speaks:
        return None
    return html.P(fmt.visible(f"Read: {reading.sentence(found, how='')}"), className="rw-read rw-quiet")


def coverage(report: Mapping[str, Any]) -> Component:
    """Which rules ran, which could not and why, which failed: silence is only worth what was checked."""
    ran, skipped, failed = report.get("ran") or (), report.get("skipped") or {}, report.get("failed") or {}
    rows = [_coverage_row(rule, "Failed", str(why), "critical", "bolt") for rule, why in failed.items()]
    rows += [_coverage_row(rule, "Not run", str(why), "quiet", "slash") for rule, why in skipped.items()]
    rows += [_coverage_row(rule, "Ran", "", "good", "check") for rule in ran]
    if not rows:
        return html.P("Nothing was checked yet: the first rules run with the first points.", className="rw-quiet")
    return html.Ul(rows, className="rw-coverage")


def _coverage_row(rule: str, word: str, why: str, tone: str, icon: str) -> Component:
    return html.Li(
        [
            parts.badge(theme.Look(word, icon, tone)),
            dcc.Link(rule, href=f"/rules/{rule}", className="rw-code-link"),
            html.Span(_with_code(why), className="rw-quiet") if why else None,
        ],
        className="rw-wide" if why else None,
    )


def _with_code(says: str) -> list[Component | str]:
    """A sentence of ours in which `backticks` stand around what can be typed."""
    pieces = fmt.visible(says).split("`")
    return [html.Code(piece) if index % 2 else piece for index, piece in enumerate(pieces)]


def coverage_line(report: Mapping[str, Any]) -> str:
    """The same in one sentence."""
    ran, skipped, failed = (len(report.get(key) or ()) for key in ("ran", "skipped", "failed"))
    said = f"{fmt.plural(ran, 'rule')} ran"
    said += f", {skipped} could not" if skipped else ""
    return said + (f", {failed} failed" if failed else "")
