"""The small pieces that every page is made of: icons, badges, numbers, empty states, sparklines. Pure: values in, components out.

Whatever a run said (names, tags, texts) goes through `fmt.visible` and into the tree as text: never HTML, never Markdown.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, TypeAlias
from urllib.parse import quote

from dash import dcc, html
from dash.development.base_component import Component

from dashboard.records import Run, RunSummary, State
from dashboard.ui import figures, theme
from dashboard.ui import format as fmt

Children: TypeAlias = Component | str | Sequence[Any] | None


FIRST_DATE = 1e8
"""Seconds since 1970 before which a time is no date but a clock that began with the run (1e8 is in 1973)."""


def began(run: Run) -> float:
    """When a run began; when it was stored, for one whose log counts from its own start."""
    return run.started_at if run.started_at is not None and run.started_at >= FIRST_DATE else run.created_at


def icon(name: str) -> Component:
    """A drawing from assets/30-icons.css, in the colour of the text around it. Decoration: a word always stands beside it."""
    return html.Span(className=f"rw-icon rw-icon-{name}", **{"aria-hidden": "true"})


def badge(look: theme.Look, *, word: str | None = None, title: str | None = None) -> Component:
    """A shape, a word and a tone."""
    return html.Span(
        [icon(look.icon), html.Span(word or look.word)], className=f"rw-badge rw-tone-{look.tone}", title=title
    )


def state_badge(run: Run) -> Component:
    """The run's state; the reason is its tooltip."""
    return badge(theme.STATES[run.state.value], title=fmt.visible(run.state_reason) or None)


def verdict_look(run: Run) -> theme.Look:
    """Whether the run is well. A crash is the verdict of a crashed run, whatever its curves say."""
    if run.state is State.CRASHED:
        return theme.STATES["crashed"]
    return theme.VERDICTS.get(run.verdict, theme.VERDICTS["unknown"])


def severity_badge(severity: str) -> Component:
    """How bad a finding is."""
    return badge(theme.SEVERITIES.get(severity, theme.SEVERITIES["info"]))


def text(value: str, class_name: str = "") -> Component:
    """Untrusted text on one line, isolated so that its direction cannot spill into what stands beside it."""
    return html.Bdi(fmt.visible(value), className=class_name or None)


def run_name(run: Run) -> str:
    """What a run is called on the pages: its name, or its id when it has none."""
    return fmt.visible(run.name) or run.id


def stat(label: str, value: Children, hint: Children = None, *, tone: str = "") -> Component:
    """A number with its label above and a hint below."""
    return html.Div(
        [
            html.Div(label, className="rw-stat-label"),
            html.Div(value, className=f"rw-stat-value {'rw-ink-' + tone if tone else ''}".strip()),
            html.Div(hint, className="rw-stat-hint") if hint is not None else None,
        ],
        className="rw-stat",
    )


def button(label: str, component_id: Any, icon_name: str = "", *, kind: str = "plain", **extra: Any) -> Component:
    """A push button. `kind`: `primary`, `plain`, `quiet` or `danger`."""
    children = [icon(icon_name), html.Span(label)] if icon_name else html.Span(label)
    return html.Button(children, id=component_id, type="button", n_clicks=0, className=f"rw-button rw-{kind}", **extra)


def link_button(label: str, href: str, icon_name: str = "", *, kind: str = "plain") -> Component:
    """A link that looks like a button."""
    children = [icon(icon_name), html.Span(label)] if icon_name else [html.Span(label)]
    return dcc.Link(children, href=href, className=f"rw-button rw-{kind}")


def page_header(title: str, lead: Children = None, actions: Children = None) -> Component:
    """A page's heading with its one-line meaning, and what can be done at the right."""
    return html.Header(
        [
            html.Div([html.H1(title), html.P(lead, className="rw-lead") if lead else None]),
            html.Div(actions, className="rw-actions") if actions else None,
        ],
        className="rw-page-header",
    )


def card(children: Children, *, title: str | None = None, aside: Children = None, class_name: str = "") -> Component:
    """A surface with an optional title row."""
    head = html.Div([html.H2(title), html.Div(aside, className="rw-card-aside")], className="rw-card-head")
    return html.Section([head if title else None, html.Div(children)], className=f"rw-card {class_name}".strip())


def empty(icon_name: str, title: str, says: str, action: Children = None) -> Component:
    """Nothing here yet: what this place is for and the one thing to do next."""
    return html.Div(
        [
            html.Div(icon(icon_name), className="rw-empty-icon"),
            html.H2(title),
            html.P(says),
            html.Div(action, className="rw-actions") if action else None,
        ],
        className="rw-empty",
    )


def age(then: float | None, now: float) -> Component | str:
    """How long ago, kept fresh in the browser by assets/live.js; nothing where `then` is no date."""
    if then is None or then < FIRST_DATE:
        return fmt.MISSING
    return html.Time(fmt.age(then, now), className="rw-age", **{"data-then": f"{then:.0f}"})


def progress(run: Run) -> Component:
    """How far a run is, as a bar with its numbers; only the step when the plan is unknown."""
    if run.last_step is None or not run.planned_steps:
        return html.Span(fmt.steps(run.last_step), className="rw-num")
    share = min(1.0, run.last_step / run.planned_steps)
    bar = html.Div(
        html.Div(style={"width": f"{share:.2%}"}, className=f"rw-bar-fill rw-bar-{run.state.value}"),
        className="rw-bar",
        role="progressbar",
        **{"aria-valuenow": round(share * 100), "aria-valuemin": 0, "aria-valuemax": 100, "aria-label": "progress"},
    )
    words = f"{fmt.steps(run.last_step)} / {fmt.steps(run.planned_steps)}"
    return html.Div([bar, html.Span(words, className="rw-num rw-quiet")], className="rw-progress")


def time_left(summary: RunSummary) -> float | None:
    """Seconds until the planned end at the speed of the whole run so far, or None when that cannot be known."""
    run = summary.run
    if run.state.ended or run.started_at is None or run.last_event_at is None:
        return None
    if not run.planned_steps or not run.last_step or run.last_step < 2:
        return None
    per_step = (run.last_event_at - run.started_at) / run.last_step
    return max(0.0, (run.planned_steps - run.last_step) * per_step)


def sparkline(values: Sequence[float], label: str) -> Component:
    """A small curve of `values` (oldest first); a non-finite value is a gap with a cross at the top edge."""
    if not values:
        return html.Span(fmt.MISSING, className="rw-quiet")
    crosses = [
        html.Span("✕", className="rw-spark-cross", style={"left": f"{_across(index, len(values)):.1f}%"})
        for index, value in enumerate(values)
        if not math.isfinite(value)
    ]
    picture = f'url("data:image/svg+xml,{quote(spark_svg(values))}")'
    line = html.Span(className="rw-spark-line", style={"--rw-spark": picture})
    return html.Span([line, *crosses[-3:]], className="rw-spark", role="img", **{"aria-label": label})


def _across(index: int, length: int) -> float:
    return 100.0 * index / max(length - 1, 1)


def spark_svg(values: Sequence[float]) -> str:
    """An SVG of 100 × 28 units: the line, and a faint area below it. Used as a mask, so only its opacity counts."""
    finite = [value for value in values if math.isfinite(value)]
    low, high = (min(finite), max(finite)) if finite else (0.0, 1.0)
    span = (high - low) or 1.0
    parts: list[list[tuple[float, float]]] = [[]]
    for index, value in enumerate(values):
        if math.isfinite(value):
            parts[-1].append((_across(index, len(values)), 25.5 - 23.0 * (value - low) / span))
        elif parts[-1]:
            parts.append([])
    lines = ["M" + "L".join(f"{x:.1f},{y:.1f}" for x, y in part) for part in parts if part]
    areas = [
        f"{line}L{part[-1][0]:.1f},28L{part[0][0]:.1f},28Z"
        for line, part in zip(lines, filter(None, parts), strict=True)
    ]
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 100 28" preserveAspectRatio="none">'
        f'<path d="{"".join(areas)}" fill="#000" fill-opacity=".14"/>'
        f'<path d="{"".join(lines)}" fill="none" stroke="#000" stroke-width="1.6" stroke-linecap="round" '
        'stroke-linejoin="round" vector-effect="non-scaling-stroke"/></svg>'
    )


def plot(
    figure: figures.Figure, class_name: str = "rw-graph-tiny", component_id: Any = None, *, still: bool = False
) -> Component:
    """A chart in a box whose height the class decides; `still` ones have no tool bar. plotly's cloud button is off."""
    config = figures.CONFIG | ({"displayModeBar": False} if still else {})
    named = {} if component_id is None else {"id": component_id}
    graph = dcc.Graph(figure=figure, config=config, responsive=True, style={"height": "100%"}, **named)
    return html.Div(graph, className=f"rw-graph {class_name}")


def live(
    page: str, signals: Sequence[str], *, run_id: str = "", epoch: str = "", since: int = 0, ended: bool = False
) -> Component:
    """What assets/live.js needs: which stream to follow from where, and which stores of the page to poke.

    For each signal (those that assets/live.js pokes: `run`, `findings`, …) there is a store `{page}-live-{signal}`.
    """
    facts = {
        "data-page": page,
        "data-run": run_id,
        "data-epoch": epoch,
        "data-since": str(since),
        "data-signals": ",".join(signals),
        "data-ended": "yes" if ended else "no",
    }
    stores = [dcc.Store(id=f"{page}-live-{signal}", data=0) for signal in signals]
    return html.Div([html.Div(id="live", **facts), *stores], hidden=True)
