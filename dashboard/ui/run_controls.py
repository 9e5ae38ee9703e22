"""The controls above a run's curves, and the dialogs that ask before a run is stopped or runs are deleted. Pure: a view in, components out. Their callbacks are in pages/run.py."""

from __future__ import annotations

from collections.abc import Sequence

import dash_mantine_components as dmc
from dash import Output, html
from dash.development.base_component import Component

from dashboard.records import Run
from dashboard.ui import format as fmt
from dashboard.ui import parts
from dashboard.ui.figures import View
from dashboard.ui.run_charts import SMOOTHING

X, SMOOTH, LOG, READ, SMOOTH_SAID = "run-x", "run-smooth", "run-log-scale", "run-read", "run-smooth-said"
STOP_DIALOG = "run-stop-dialog"
SHOWN_NAMES = 5
GIVING_UP = (
    "Nothing is heard of it any more: it is called stopped. If it comes back, it is running again and asked to end."
)


def controls(how: View, *, has_tokens: bool) -> Component:
    """Reading, x axis, scale and smoothing, as the view has them. Tokens are offered when a step's tokens are known."""
    marks = [{"value": index} for index in range(len(SMOOTHING))]
    axes = [
        {"value": "step", "label": "Step"},
        {"value": "tokens", "label": "Tokens", "disabled": not has_tokens},
        {"value": "time", "label": "Time"},
    ]
    return html.Div(
        [
            _labelled("Read as", dmc.SegmentedControl(
                id=READ, value="perplexity" if how.perplexity else "loss", size="xs",
                data=[{"value": "loss", "label": "Loss"}, {"value": "perplexity", "label": "Perplexity"}],
            )),
            _labelled("X axis", dmc.SegmentedControl(id=X, value=how.axis.kind, data=axes, size="xs")),
            dmc.Switch(id=LOG, checked=how.log, label="Log scale", size="sm"),
            html.Div(
                [
                    html.Span("Smoothing", className="rw-control-label", id="run-smooth-label"),
                    dmc.Slider(
                        id=SMOOTH, value=_smoothing_index(how.half_life), min=0, max=len(marks) - 1, step=1, marks=marks,
                        w=150, size="sm", label=None, thumbLabel="Smoothing, half-life in steps", updatemode="mouseup",
                    ),
                    html.Span(id=SMOOTH_SAID, children=smoothing_words(how.half_life), className="rw-quiet rw-small"),
                ],
                className="rw-control",
            ),
        ],
        className="rw-controls",
    )  # fmt: skip


def _labelled(label: str, control: Component) -> Component:
    return html.Div([html.Span(label, className="rw-control-label"), control], className="rw-control")


def _smoothing_index(half_life: float) -> int:
    return SMOOTHING.index(int(half_life))


def smoothing_words(half_life: float) -> str:
    """The smoothing as the reader sees it beside the slider."""
    return f"half-life {half_life:g} steps" if half_life else "off"


def stop_dialog(run: Run) -> Component:
    """Asks before a run is stopped, and says what stopping does."""
    return dmc.Modal(
        [
            html.P(
                "The worker writes a checkpoint and ends; the run can be resumed from there."
                if run.launched
                else GIVING_UP
            ),
            html.Div(
                [
                    parts.button("Keep training", "run-stop-no", kind="plain"),
                    parts.button("Stop the run", "run-stop-yes", "stop", kind="danger"),
                ],
                className="rw-actions",
            ),
        ],
        id=STOP_DIALOG,
        opened=False,
        title=f"Stop {parts.run_name(run)}?",
        centered=True,
    )


def delete_dialog(page: str, children: parts.Children, title: str) -> Component:
    """Asks before runs are deleted. Its ids begin with the `page`: `run-delete-dialog`, `-said`, `-choice`, `-disk`, `-no`, `-yes`."""
    return dmc.Modal(
        [
            html.Div(children, id=f"{page}-delete-said", className="rw-dialog-text"),
            html.Div(
                dmc.Checkbox(id=f"{page}-delete-disk", checked=False, label=""),
                id=f"{page}-delete-choice",
                className="rw-dialog-text",
                hidden=True,
            ),
            html.Div(
                [
                    parts.button("Keep", f"{page}-delete-no", kind="plain"),
                    parts.button("Delete for good", f"{page}-delete-yes", "trash", kind="danger"),
                ],
                className="rw-actions",
            ),
        ],
        id=f"{page}-delete-dialog",
        opened=False,
        title=title,
        centered=True,
    )


def while_deleting(page: str) -> list[tuple[Output, bool, bool]]:
    """What a callback of this dialog sets while it runs. The browser throws its answer away when it is asked again before
    that has come, and with it that the runs are gone: neither a second click nor the other button may ask."""
    return [(Output(f"{page}-delete-{button}", "disabled"), True, False) for button in ("yes", "no")]


def deletion(runs: Sequence[Run], going_on: Sequence[Run] = ()) -> list[Component | None]:
    """What deleting these runs means, in the words of the dialog."""
    names = ", ".join(parts.run_name(run) for run in runs[:SHOWN_NAMES])
    more = f" and {len(runs) - SHOWN_NAMES:,} more" if len(runs) > SHOWN_NAMES else ""
    left = fmt.plural(len(going_on), "chosen run")
    return [
        html.P(html.Strong(names + more)) if runs else None,
        html.P("Curves, samples, findings and output are deleted, and nothing brings them back.")
        if runs
        else html.P("None of the chosen runs has ended. Stop a run before you delete it."),
        html.P(f"{left} still {'goes' if len(going_on) == 1 else 'go'} on and {'is' if len(going_on) == 1 else 'are'} kept.", className="rw-quiet")
        if runs and going_on
        else None,
    ]  # fmt: skip


def disk_choice(size: int) -> tuple[bool, str, bool]:
    """Of the box with which the files of the chosen runs go as well: whether it is hidden, what it says, whether it is checked."""
    said = f"Delete checkpoints and output on disk as well ({fmt.file_size(size)}); else they stay"
    return not size, said, False
