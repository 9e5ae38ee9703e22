"""What a run's script told by itself (`run.alert`): a row of the Alerts page, a card and a line of the Run page. Pure.

Nobody judged it: it has no status, and its words are the script's own, shown as text.
"""

from __future__ import annotations

from collections.abc import Sequence

from dash import dcc, html
from dash.development.base_component import Component

from dashboard.records import Run, TimelineEntry
from dashboard.ui import format as fmt
from dashboard.ui import parts, theme

KIND = "run.alert"
"""What stands in the place of a rule's name, and in the address of the Alerts page."""
SHOWN = 100


def level(entry: TimelineEntry) -> str:
    """Its level; a warning when the script named none."""
    said = str(entry.data.get("level") or "warning")
    return said if said in theme.SEVERITIES else "info"


def title(entry: TimelineEntry) -> str:
    """Its title, on one line."""
    return fmt.visible(" ".join(str(entry.data.get("title") or "").split())) or "(no title)"


def row(run: Run | None, run_id: str, entry: TimelineEntry, now: float) -> Component:
    """An alert among the findings of all runs."""
    at = f"?at={entry.step}" if entry.step is not None else ""
    name = parts.run_name(run) if run else run_id
    link = dcc.Link(title(entry), href=f"/run/{run_id}{at}", className="rw-alert-title")
    return _article(entry, link, [html.Bdi(name), *_facts(entry, now)])


def card(newest: Sequence[TimelineEntry], now: float) -> Component | None:
    """What the script of a run told, the newest first; of more than SHOWN the rest is only said to be there."""
    if not newest:
        return None
    rows = [
        _article(entry, html.Span(title(entry), className="rw-alert-title"), _facts(entry, now))
        for entry in newest[:SHOWN]
    ]
    rest = html.P("Older ones are stored and not shown.", className="rw-quiet")
    return parts.card(
        [html.Div(rows, className="rw-alerts"), rest if len(newest) > SHOWN else None],
        title="Told by the script itself",
    )


def line(run_id: str, newest: Sequence[TimelineEntry]) -> Component | None:
    """The newest of them in one line, with the way to the others."""
    if not newest:
        return None
    entry, others = newest[0], len(newest) - 1
    more = "all" if not others else f"and {others:,} more" if others < SHOWN else "and many more"
    at = [html.Span(f"step {entry.step:,}", className="rw-num rw-quiet")] if entry.step is not None else []
    said = [
        parts.severity_badge(level(entry)),
        html.Span("the script says:", className="rw-quiet"),
        html.Bdi(title(entry)),
    ]
    # A link that loads the page anew, so that the tab of the address is the one that opens.
    way = html.A(more, href=f"/run/{run_id}?tab=diagnosis", className="rw-code-link")
    return html.Div([*said, *at, way], className="rw-facts rw-told")


def _article(entry: TimelineEntry, head: Component, facts: Sequence[Component | str]) -> Component:
    text = str(entry.data.get("text") or "")
    return html.Article(
        [
            html.Div(parts.severity_badge(level(entry)), className="rw-alert-severity"),
            html.Div(
                [
                    head,
                    html.P(fmt.visible(text), className="rw-told-text") if text else None,
                    html.Div(facts, className="rw-facts rw-quiet"),
                ],
                className="rw-grow",
            ),
        ],
        className=f"rw-alert rw-edge-{level(entry)}",
    )


def _facts(entry: TimelineEntry, now: float) -> list[Component | str]:
    at = [html.Span(f"step {entry.step:,}", className="rw-num")] if entry.step is not None else []
    return [*at, html.Span("told by the script"), parts.age(entry.time, now)]
