"""The diagnosis of a run: its findings, the piece of curve that each speaks of, and what was checked. Reads the store."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from dash import html
from dash.development.base_component import Component

from dashboard.fixes import relaunchable
from dashboard.records import FindingRecord, Run, TimelineEntry
from dashboard.relaunch import children_of, outcomes
from dashboard.services import Services
from dashboard.ui import charts, figures, findings, parts, relaunch, told
from dashboard.ui import format as fmt
from dashboard.ui.pages.alerts import decisions

DECIDE = "run-decide"
FIX = "run-fix"


def diagnosis(services: Services, run: Run, found: Sequence[FindingRecord]) -> list[Component]:
    """A card for each finding, the most urgent first, then what the script told by itself, then the coverage."""
    report = services.store.coverage(run.id)
    fixable, became = relaunchable(run), fixes(services, run, found)
    cards = [
        findings.card(
            one, _drawing(services, run, one), decisions(DECIDE, one), fixable=fixable,
            became=html.Div(became[one.rule, one.subject], id=_fix_id(one)),
        )
        for one in findings.worst_first(found)
    ]  # fmt: skip
    nothing = parts.empty(
        "check", "Nothing found", f"{findings.coverage_line(report)} on this run, and none of them sees an illness."
    )
    seen = [findings.read_as(report), findings.coverage(report)]
    checked = parts.card(seen, title="What was checked", aside=findings.coverage_line(report))
    said = told.card(told_by(services, run.id), time.time())
    return [*(cards or [nothing]), *([said] if said else []), checked]


def told_by(services: Services, run_id: str) -> list[TimelineEntry]:
    """What the run's script told, the newest first: those that are shown, and one more when there are more."""
    return [entry for _, entry in services.store.alerts(run_id, limit=told.SHOWN + 1)]


def _fix_id(finding: FindingRecord) -> dict[str, str]:
    return {"type": FIX, "rule": finding.rule, "subject": finding.subject or "-"}


def fixes(services: Services, run: Run, found: Sequence[FindingRecord]) -> dict[tuple[str, str], Component | None]:
    """For each finding, by (rule, subject), what the relaunches of the run say of it."""
    said = outcomes(services.store, children_of(services.store, run), found)
    return {key: relaunch.outcome_list(some) for key, some in said.items()}


def fixes_again(services: Services, run: Run, ids: Sequence[Mapping[str, str]]) -> list[Component | None]:
    """The same for the cards that are on the page, in their order."""
    said = fixes(services, run, services.store.findings(run.id))
    return [said.get((one["rule"], "" if one["subject"] == "-" else one["subject"])) for one in ids]


def _drawing(services: Services, run: Run, finding: FindingRecord) -> Component | None:
    """The part of the curve that the evidence speaks of, with a margin on both sides so that the change is seen."""
    window = findings.evidence_window(finding)
    if window is None or window[0] not in services.store.series_names(run.id):
        return None
    name, first, last = window
    margin = max((last - first) // 2, 10)
    series = services.store.series(run.id, name, start=max(first - margin, 0), stop=last + margin, buckets=200)
    figure = figures.excerpt(charts.lone(name), {name: series}, first, last, finding.severity)
    return html.Figure([parts.plot(figure, still=True), html.Figcaption(fmt.visible(name))], className="rw-drawing")
