"""`/launch`: start a training run.

Preset, data set, every setting with its meaning and bounds, the drawn learning rate schedule, size and memory, checks
before the start. The address may name a preset (`preset`), or a run to launch again (`from`) with one of its remedies
(`rule`, `subject`, `remedy`): then what differs from that run stands above the form. Callbacks: `fill` (preset → fields),
`check` (fields → errors, drawing, sizes, checks, what differs), `start` (button → the launcher → the run's page).
"""

# Dash's decorators have no types; the functions under them have.
# mypy: disallow-untyped-decorators=False

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import dash
from dash import ALL, Input, Output, State, ctx, dcc, html
from dash.development.base_component import Component

from dashboard.errors import DashboardError
from dashboard.fixes import Plan, difference, settings_of
from dashboard.records import Run
from dashboard.relaunch import prepare
from dashboard.services import Services
from dashboard.ui import estimates, figures, launch_form, parts, relaunch, theme
from dashboard.ui import format as fmt
from dashboard.ui.query import Query, choice
from trainer.catalog import list_datasets, resolve
from trainer.config import ConfigError, TrainConfig, settings
from trainer.presets import PRESETS, build
from trainer.schedule import curve

PATH = "/launch"
TITLE = "Launch"

PARENT, DIFF = "launch-parent", "launch-diff"
PRESET, START, SCHEDULE, SUMMARY, PROBLEM = (
    "launch-preset",
    "launch-start",
    "launch-schedule",
    "launch-summary",
    "launch-problem",
)
FIELDS = {"type": launch_form.FIELD, "name": ALL}


def layout(services: Services, query: Query) -> Component:
    """The form, filled with the preset of the address (`minimal` when it names none), or with the settings of a run."""
    names = [preset.name for preset in PRESETS]
    parent, again, problem = _relaunch(services, query)
    config = again.config if again else build({"preset": choice(query, "preset", names, "minimal")})
    chosen = config.preset
    values = config.to_mapping()
    datasets = list_datasets(services.settings.data)
    form = [
        _notice(parent, again, problem),
        parts.card(launch_form.preset_cards(chosen), title="Preset"),
        parts.card([launch_form.essentials(values, datasets), _own_text(services)], title="Essentials"),
        html.Div([html.H2("Everything else", className="rw-section"), launch_form.more(values, datasets)]),
    ]
    start = parts.button("Start training", START, "rocket", kind="primary")
    side = [
        parts.card(_schedule(config), title="Learning rate schedule"),
        parts.card(html.Div(_summary(services, config), id=SUMMARY), title="Before the start"),
        html.Div([start, html.P(id=PROBLEM, className="rw-problem", role="alert")], className="rw-start"),
    ]
    return html.Div(
        [
            parts.page_header("Launch", "Train a GPT on this machine and watch it from the first step."),
            html.Div(
                [html.Div(form, className="rw-launch-form"), html.Aside(side, className="rw-launch-side")],
                className="rw-launch",
            ),
            dcc.Store(id=PARENT, data=parent.id if parent else ""),
            parts.live("launch", [], epoch=str(services.hub.epoch), since=services.hub.seq),
        ]
    )


def _relaunch(services: Services, query: Query) -> tuple[Run | None, Plan | None, str]:
    """(the run, what its relaunch would be, "") when the address asks for one; else why not, in a sentence, if it did."""
    if "from" not in query:
        return None, None, ""
    asked = {name: query.get(name, "") for name in ("rule", "subject", "remedy")}
    try:
        again = prepare(services.store, services.settings.home, query["from"], **asked)
        return services.store.run(query["from"]), again, ""
    except DashboardError as error:
        return None, None, str(error)


def _notice(parent: Run | None, again: Plan | None, problem: str) -> Component:
    if parent is None or again is None:
        return html.Div([relaunch.refusal(problem) if problem else None, html.Div(id=DIFF, hidden=True)])
    return relaunch.notice(parent, again.notes, again.changes, DIFF)


def _difference(services: Services, parent_id: str, config: TrainConfig) -> Component | None:
    return relaunch.diff(difference(settings_of(services.store.run(parent_id)), config)) if parent_id else None


def _own_text(services: Services) -> Component:
    """Where to put a text of one's own."""
    folder = html.Code(fmt.visible(str(services.settings.data)))
    return html.P(
        ["Your own text: put .txt, .md or .jsonl files into ", folder, " and load this page again."],
        className="rw-quiet rw-small rw-own-text",
    )


def _schedule(config: TrainConfig) -> Component:
    return parts.plot(schedule_figure(config), component_id=SCHEDULE, still=True)


def schedule_figure(config: TrainConfig) -> figures.Figure:
    """The learning rate over the whole run, as the worker will use it."""
    steps, rates = curve(config)
    figure = figures.small_line(steps, {"learning rate": (theme.RATE, rates)}, "step")
    figure["data"][0]["mode"] = "lines"
    figure["layout"]["yaxis"]["rangemode"] = "tozero"
    figure["layout"]["uirevision"] = config.max_steps
    return figure


def _summary(services: Services, config: TrainConfig) -> Component:
    size, error = data_size(config.dataset, services.settings.data)
    return launch_form.summary(config, size, error)


def data_size(name: str, data_dir: Path) -> tuple[int | None, str | None]:
    """(bytes of the data set, None) or (None, the sentence that says why it cannot be used)."""
    try:
        path = resolve(name, data_dir)
    except ConfigError as error:
        return None, str(error)
    if path is None:
        return estimates.BUILT_IN_BYTES, None
    info = next((info for info in list_datasets(data_dir) if info.name == name), None)
    return (info.bytes if info else path.stat().st_size if path.is_file() else None), None


def register(app: dash.Dash, services: Services) -> None:
    """Attach this page's callbacks to `app`."""

    @app.callback(
        Output(FIELDS, "value"),
        Input(PRESET, "value"),
        State(FIELDS, "id"),
        prevent_initial_call=True,
    )
    def fill(preset: str, ids: Sequence[dict[str, str]]) -> list[Any]:
        return filled(preset, [one["name"] for one in ids])

    @app.callback(
        Output(FIELDS, "error"),
        Output(SCHEDULE, "figure"),
        Output(SUMMARY, "children"),
        Output(START, "disabled"),
        Output(DIFF, "children"),
        Input(FIELDS, "value"),
        State(FIELDS, "id"),
        State(PRESET, "value"),
        State(PARENT, "data"),
        prevent_initial_call=True,
    )
    def check(
        values: Sequence[Any], ids: Sequence[dict[str, str]], preset: str, parent: str
    ) -> tuple[Any, Any, Any, bool, Any]:
        names = [one["name"] for one in ids]
        wrong = launch_form.errors(names, values, preset)
        shown = [wrong.get(name) for name in names]
        if wrong:
            return shown, dash.no_update, dash.no_update, True, dash.no_update
        config = launch_form.read(names, values, preset)
        return shown, schedule_figure(config), _summary(services, config), False, _difference(services, parent, config)

    @app.callback(
        Output("url", "pathname", allow_duplicate=True),
        Output("url", "search", allow_duplicate=True),
        Output(PROBLEM, "children"),
        Input(START, "n_clicks"),
        State(FIELDS, "value"),
        State(FIELDS, "id"),
        State(PRESET, "value"),
        State(PARENT, "data"),
        running=[(Output(START, "disabled"), True, False)],  # a double click must not start two runs
        prevent_initial_call=True,
    )
    def start(
        clicks: int | None, values: Sequence[Any], ids: Sequence[dict[str, str]], preset: str, parent: str
    ) -> tuple[Any, Any, Any]:
        if not clicks or ctx.triggered_id != START:
            return dash.no_update, dash.no_update, dash.no_update
        try:
            config = launch_form.read([one["name"] for one in ids], values, preset)
            resolve(config.dataset, services.settings.data)
        except ConfigError as error:
            return dash.no_update, dash.no_update, fmt.visible(str(error))
        parent_id = services.store.run(parent).id if parent else None  # it may have been deleted meanwhile
        run = services.launcher.submit(config, parent_id=parent_id)
        return f"/run/{run.id}", "", dash.no_update


KEPT = ("name", "project", "dataset", "seed", "resume", "prompts")
"""What a change of preset leaves as the user typed it: what is trained on and how it is called, not how."""


def filled(preset: str, names: Sequence[str]) -> list[Any]:
    """What choosing a preset writes into the fields. Those that it keeps it does not touch: they may be typed in meanwhile."""
    values = build({"preset": preset}).to_mapping()
    numbers = {setting.name for setting in settings() if setting.kind in (int, float) and not setting.choices}
    return [
        dash.no_update if name in KEPT else launch_form.as_typed(values[name]) if name in numbers else values[name]
        for name in names
    ]
