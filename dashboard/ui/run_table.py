"""The Runs table: which runs match, in which order, and their rows. Pure: summaries in, components out."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import dash_mantine_components as dmc
from dash import dcc, html
from dash.development.base_component import Component

from dashboard.records import Run, RunSummary, State
from dashboard.roles import latest_of
from dashboard.ui import format as fmt
from dashboard.ui import parts

ACTIVE = (State.QUEUED, State.STARTING, State.RUNNING, State.LOST)


def matching(summaries: Sequence[RunSummary], search: str, wanted: str) -> list[RunSummary]:
    """The runs that contain every word of `search` and pass the filter `wanted` (`all`, `active`, `sick`, `ended`)."""
    words = search.lower().split()
    return [
        summary
        for summary in summaries
        if _passes(summary, wanted) and all(word in _haystack(summary) for word in words)
    ]


def _passes(summary: RunSummary, wanted: str) -> bool:
    if wanted == "active":
        return summary.run.state in ACTIVE
    if wanted == "ended":
        return summary.run.state.ended
    if wanted == "sick":
        return summary.run.verdict in ("warning", "critical") or summary.run.state is State.CRASHED
    return True


def _haystack(summary: RunSummary) -> str:
    run = summary.run
    settings = " ".join(f"{key}={value}" for key, value in run.config.items())
    findings = " ".join(title for _, title in (*summary.open_findings, *summary.known_findings))
    return " ".join((run.name, run.id, run.project, run.state, *run.tags, settings, findings)).lower()


def ordered(summaries: Sequence[RunSummary], order: str) -> list[RunSummary]:
    """Sorted by `age`, `loss`, `val`, `speed` or `name`; runs without the number come last."""
    keys: dict[str, Callable[[RunSummary], tuple[bool, float | str]]] = {
        "loss": lambda summary: _number(latest_of(summary.latest, "train_loss")),
        "val": lambda summary: _number(summary.best_val_loss),
        "speed": lambda summary: _number(latest_of(summary.latest, "tokens_per_second"), descending=True),
        "name": lambda summary: (False, parts.run_name(summary.run).lower()),
    }
    return sorted(summaries, key=keys.get(order, lambda summary: (False, -summary.run.created_at)))


def _number(value: float | None, *, descending: bool = False) -> tuple[bool, float]:
    if value is None or not math.isfinite(value):
        return True, 0.0
    return False, -value if descending else value


COLUMNS = ("Run", "Health", "Training loss", "Last loss", "Best validation", "Speed", "Progress", "Age")


def table(summaries: Sequence[RunSummary], *, total: int, now: float) -> Component:
    """The rows of these runs under their headings; on a narrow screen each row is a card."""
    head = html.Div(
        [html.Span(name, role="columnheader") for name in COLUMNS], className="rw-row rw-row-head", role="row"
    )
    rows = [row(summary, now) for summary in summaries]
    left = total - len(summaries)
    more = html.Button(
        f"Show {min(left, 50)} more of {total:,}", className="rw-button rw-quiet", **{"data-click": "runs-more"}
    )
    return html.Div(
        [
            html.Div([head, *rows], className="rw-table", role="table", **{"aria-label": "Runs"}),
            html.Div(more, className="rw-more") if left > 0 else None,
        ]
    )


def row(summary: RunSummary, now: float) -> Component:
    """One run. The name is the link; the whole row follows it on a click (styles only)."""
    run, latest = summary.run, summary.latest
    speed = latest_of(latest, "tokens_per_second")
    cells = [
        html.Div([_choice(run), html.Div([_name(summary), _tags(summary)])], className="rw-cell-name", role="cell"),
        html.Div(_health(summary), className="rw-cell-health", role="cell"),
        html.Div(
            parts.sparkline(summary.sparkline, f"training loss of {parts.run_name(run)}"),
            role="cell",
            className="rw-cell-spark",
        ),
        _cell("Last loss", _loss(latest_of(latest, "train_loss"))),
        _cell("Best validation", [fmt.loss(summary.best_val_loss), _at(summary.best_val_step)]),
        _cell("Speed", f"{fmt.count(speed)} tok/s" if speed is not None else fmt.MISSING),
        html.Div(parts.progress(run), className="rw-cell-progress", role="cell"),
        html.Div(parts.age(run.created_at, now), className="rw-cell-age rw-quiet", role="cell"),
    ]
    return html.Div(cells, className=f"rw-row rw-state-{run.state.value}", role="row", key=run.id)


def _choice(run: Run) -> Component:
    """The box with which a run is chosen; the group that the page puts around the table holds what is chosen."""
    return dmc.Checkbox(
        value=run.id, size="sm", radius=5, className="rw-row-choice", **{"aria-label": f"Choose {parts.run_name(run)}"}
    )


def _cell(label: str, value: parts.Children) -> Component:
    return html.Div(value, className="rw-cell rw-num", role="cell", **{"data-label": label})


def _at(step: int | None) -> Component | None:
    return html.Span(f" @ {fmt.steps(step)}", className="rw-quiet") if step is not None else None


def _loss(value: float | None) -> Component:
    bad = value is not None and not math.isfinite(value)
    return html.Span(fmt.loss(value), className="rw-ink-critical" if bad else None)


def _name(summary: RunSummary) -> Component:
    run = summary.run
    return dcc.Link(html.Bdi(parts.run_name(run)), href=f"/run/{run.id}", className="rw-row-link")


def _tags(summary: RunSummary) -> Component:
    run = summary.run
    words = [parts.text(run.project, "rw-tag")] if run.project != "default" else []
    words += [parts.text(tag, "rw-tag") for tag in run.tags[:4]]
    return html.Div([parts.state_badge(run), *words], className="rw-tags")


def _health(summary: RunSummary) -> list[Component | None]:
    run, findings = summary.run, summary.open_findings or summary.known_findings
    said = run.state_reason if run.state is State.CRASHED else findings[0][1] if findings else ""
    rest = f" + {len(findings) - 1} more" if len(findings) > 1 and run.state is not State.CRASHED else ""
    line = html.Div(fmt.visible(said) + rest, className="rw-row-finding", title=fmt.visible(said)) if said else None
    if run.state is State.CRASHED and line is not None:
        return [line]  # the badge beside the name has said it already
    return [parts.badge(parts.verdict_look(run)), line]
