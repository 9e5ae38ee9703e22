"""The diagnosis of a run: its findings, the piece of curve that each speaks of, and what was checked. Reads the store."""

from __future__ import annotations

from collections.abc import Sequence

from dash import html
from dash.development.base_component import Component

from dashboard.records import FindingRecord, Run
from dashboard.services import Services
from dashboard.ui import charts, figures, findings, parts
from dashboard.ui import format as fmt
from dashboard.ui.pages.alerts import decisions

DECIDE = "run-decide"


def diagnosis(services: Services, run: Run, found: Sequence[FindingRecord]) -> list[Component]:
    """A card for each finding, the most urgent first, then the coverage."""
    report = services.store.coverage(run.id)
    cards = [
        findings.card(one, _drawing(services, run, one), decisions(DECIDE, one)) for one in findings.worst_first(found)
    ]
    nothing = parts.empty(
        "check", "Nothing found", f"{findings.coverage_line(report)} on this run, and none of them sees an illness."
    )
    checked = parts.card(findings.coverage(report), title="What was checked", aside=findings.coverage_line(report))
    return [*(cards or [nothing]), checked]


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
