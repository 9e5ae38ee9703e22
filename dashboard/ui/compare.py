"""Runs beside each other: the chart, what is to be said of it, settings and findings in columns. Pure: records in, components out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from dash import dcc, html
from dash.development.base_component import Component

from dashboard.comparison import MISSING, Ahead
from dashboard.records import FindingRecord, Run, RunSummary, Series
from dashboard.roles import latest_of, leading, role_of
from dashboard.ui import curves, figures, parts, theme
from dashboard.ui import format as fmt
from dashboard.ui.findings import worst_first

LETTERS = "ABCDEFGH"
COLORS = (theme.TRAIN, theme.VALIDATION, theme.GRADIENT, theme.RATE, "#d6568c", theme.SPEED, "#9b8a2c", theme.OTHER)
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot", "solid", "dash")
"""Colour is never alone: each run has a letter and a dash of its own."""
MOST = len(LETTERS)

ROLES = {
    "train_loss": "Training loss",
    "val_loss": "Validation loss",
    "grad_norm": "Gradient norm",
    "learning_rate": "Learning rate",
    "tokens_per_second": "Tokens per second",
}
"""Metrics that every trainer calls in its own way: compared by what they are."""
SAME_KIND = ("dataset", "data_limit_characters", "validation_fraction", "tokenizer", "vocab_size", "actual_vocab_size")
"""Settings that must agree for two losses to measure the same thing."""
NEVER = ("tokens", "epoch")
"""Counters that grow by themselves."""


def address(run_ids: Sequence[str], **more: str) -> str:
    """The Compare page with these runs."""
    return "/compare?" + urlencode({"runs": ",".join(run_ids[:MOST]), **more}, safe=",")


@dataclass(frozen=True, slots=True)
class Entry:
    """One of the runs compared: its place decides its letter, colour and dash."""

    place: int
    summary: RunSummary
    series: Series
    axis: curves.Axis

    @property
    def run(self) -> Run:
        """The run itself."""
        return self.summary.run

    @property
    def letter(self) -> str:
        """What it is called in sentences and on the chart."""
        return LETTERS[self.place]


def metrics(names: Sequence[Sequence[str]]) -> dict[str, str]:
    """What can be compared, key to title: roles that some run has, then the other series by name."""
    every = list(dict.fromkeys(name for one in names for name in one))
    roles = {role_of(name) for name in every}
    found = {role: title for role, title in ROLES.items() if role in roles}
    return found | {name: fmt.visible(name) for name in every if role_of(name) not in (*ROLES, *NEVER)}


def series_of(key: str, names: Sequence[str]) -> str | None:
    """The series of a run that a metric's key means: the most telling of that role, or the one of that name."""
    if key in ROLES:
        return leading(names, key)
    return key if key in names else None


def figure(entries: Sequence[Entry], title: str, *, log: bool, half_life: float) -> figures.Figure:
    """One line a run, no spike hidden; what is not finite is a cross at the edge."""
    axis = entries[0].axis if entries else curves.Axis()
    view = figures.View(axis=axis, half_life=half_life, log=log)
    chart = figures.Chart(
        key="loss", title=title, unit="", colors={}
    )  # the key of charts that take the scale asked for
    traces = []
    for entry in entries:
        label = f"{entry.letter} {parts.run_name(entry.run)}"
        own = figures.View(axis=entry.axis, half_life=half_life, log=log)
        for trace in figures.traces_of(label, COLORS[entry.place], curves.trace(entry.series), own):
            if "line" in trace:
                trace["line"]["dash"] = DASHES[entry.place]
            traces.append(trace)
    layout = figures.layout_of(chart, view, True)
    layout["uirevision"] = f"{title}/{axis.kind}/{log}"
    return {"data": traces, "layout": layout}


def glance(entries: Sequence[Entry], now: float) -> Component:
    """The runs in rows: letter, name, state, health, losses, speed, length."""
    heads = ("", "Run", "Health", "Last loss", "Best validation", "Speed", "Steps", "Ran for")
    rows = [html.Tr([html.Td(cell) for cell in _glance(entry, now)]) for entry in entries]
    return _table(heads, rows)


def _glance(entry: Entry, now: float) -> list[Any]:
    run, latest = entry.run, entry.summary.latest
    speed = latest_of(latest, "tokens_per_second")
    best = fmt.loss(entry.summary.best_val_loss)
    at = entry.summary.best_val_step
    length = (run.ended_at or now) - run.started_at if run.started_at is not None else None
    return [
        key(entry),
        [dcc.Link(html.Bdi(parts.run_name(run)), href=f"/run/{run.id}", className="rw-row-name"), " ", parts.state_badge(run)],
        parts.badge(parts.verdict_look(run)),
        fmt.loss(latest_of(latest, "train_loss")),
        f"{best} @ {fmt.steps(at)}" if at is not None else best,
        f"{fmt.count(speed)} tok/s" if speed is not None else fmt.MISSING,
        fmt.steps(run.last_step),
        fmt.duration(length),
    ]  # fmt: skip


def key(entry: Entry) -> Component:
    """The letter of a run in its colour, with its dash."""
    line = html.I(className=f"rw-key-{DASHES[entry.place]}", style={"borderColor": COLORS[entry.place]})
    return html.Span([line, html.Strong(entry.letter)], className="rw-key")


def _table(heads: Sequence[Any], rows: Sequence[Component]) -> Component:
    head = html.Thead(html.Tr([html.Th(one, scope="col") for one in heads]))
    table = html.Table([head, html.Tbody(rows)], className="rw-grid-table")
    return html.Div(table, className="rw-scroll", tabIndex="0", role="region", **{"aria-label": "Table"})


def verdict(entries: Sequence[Entry], found: Ahead | None, title: str) -> list[str]:
    """Which run is ahead, and whether by more than noise."""
    if found is None:
        return [f"The runs share no steps at which each of them logged its {title.lower()}."]
    letters = [entry.letter for entry in entries]
    said = [_ahead(letters, found, title)]
    said += [f"The loss of {entry.letter} is not finite in the end." for entry in entries if _broken(entry, found)]
    if found.certain:
        said.append("This is said of these runs alone: another seed may end elsewhere.")
    return said


def _broken(entry: Entry, found: Ahead) -> bool:
    """Whether its curve stops being a number; its last evaluation may have come before that."""
    last = latest_of(entry.summary.latest, "train_loss")
    return entry.place in found.broken or (last is not None and not math.isfinite(last))


def caution(rows: Mapping[str, Sequence[Any]]) -> list[str]:
    """That losses are not of one kind, when the settings that differ say so."""
    apart = [name for name in rows if name in SAME_KIND]
    if not apart:
        return []
    return [f"Mind that {' and '.join(apart)} differ: losses of other text or other tokens are not the same measure."]


def parting(entries: Sequence[Entry], since: Mapping[int, int | None], title: str) -> list[str]:
    """Since when each run, by its place, goes another way than the first."""
    first = entries[0].letter
    return [
        f"The {title.lower()} of {entries[place].letter} stays apart from that of {first} since step {step:,}."
        if step is not None
        else f"The {title.lower()} of {entries[place].letter} does not stay apart from that of {first}."
        for place, step in since.items()
    ]


def _ahead(letters: Sequence[str], found: Ahead, title: str) -> str:
    names = [letters[index] for index in found.order]
    if len(names) < 2:
        return f"Only {names[0]} has a finite {title.lower()} at step {found.step:,}, the last that all reached."
    where = f"{fmt.loss(found.levels[0])} against {fmt.loss(found.levels[1])} of {names[1]} around step {found.step:,}, the last that all reached"
    if found.certain is None:
        return f"{names[0]} has the lower {title.lower()}: {where}. There are too few points to tell whether that is more than noise."
    if not found.certain:
        return f"{names[0]} and {names[1]} cannot be told apart by their {title.lower()}: {where}, a difference within what the curves scatter."
    times = f"{found.gap / found.noise:.0f} times" if found.noise else "more than"
    return f"{names[0]} is ahead: {title.lower()} {where}. The difference of {fmt.loss(found.gap)} is {times} its uncertainty."


def settings(entries: Sequence[Entry], rows: Mapping[str, Sequence[Any]], same: int) -> Component:
    """The settings that differ, a column a run."""
    if not rows:
        said = f"All {same:,} settings are the same." if same else "None of these runs reported settings."
        return html.P(said, className="rw-quiet")
    body = [
        html.Tr([html.Th(html.Code(fmt.visible(name)), scope="row"), *(html.Td(html.Code(_value(one), title=_value(one))) for one in values)])
        for name, values in rows.items()
    ]  # fmt: skip
    rest = html.P(
        f"{fmt.plural(same, 'setting')} more {'is' if same == 1 else 'are'} the same.", className="rw-quiet rw-small"
    )
    return html.Div([_table(["Setting", *(key(entry) for entry in entries)], body), rest if same else None])


def _value(value: Any) -> str:
    return fmt.MISSING if value is MISSING else fmt.setting(value) or "(empty)"


def findings(entries: Sequence[Entry], found: Mapping[str, Sequence[FindingRecord]]) -> Component:
    """What the rules say of each run, in columns side by side."""
    columns = [
        html.Section(
            [
                html.Header([key(entry), html.Bdi(parts.run_name(entry.run)), parts.badge(parts.verdict_look(entry.run))]),
                _told(found.get(entry.run.id, ())),
            ]
        )
        for entry in entries
    ]  # fmt: skip
    return html.Div(columns, className="rw-columns")


def _told(found: Sequence[FindingRecord]) -> Component:
    if not found:
        return html.P("No rule finds anything wrong.", className="rw-quiet")
    return html.Ul([html.Li(_line(one)) for one in worst_first(found)], className="rw-plain-list")


def _line(finding: FindingRecord) -> list[Any]:
    look = theme.SEVERITIES.get(finding.severity, theme.SEVERITIES["info"])
    told = f" ({finding.status})" if finding.status != "open" else ""
    link = dcc.Link(fmt.visible(finding.title), href=f"/run/{finding.run_id}?at={finding.first_step}")
    shape = html.Span(parts.icon(look.icon), className=f"rw-ink-{look.tone}", title=look.word)
    return [shape, html.Span([link, html.Span(told, className="rw-quiet")])]
