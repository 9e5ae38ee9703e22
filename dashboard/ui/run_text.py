"""What a run wrote: samples over steps, its config, its output. All of it is hostile text and is shown as text. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dash import html
from dash.development.base_component import Component

from dashboard.records import LogLine, Run, Sample
from dashboard.ui import format as fmt
from dashboard.ui import parts
from trainer.config import settings

SHOWN_SAMPLES = 30


def samples(found: Sequence[Sample]) -> Component:
    """One column for each prompt, newest first; the prompt stands apart from what the model made of it."""
    if not found:
        return parts.empty(
            "quote",
            "No samples yet",
            "Text that the model writes for fixed prompts appears here as it trains, every few hundred steps.",
        )
    prompts: dict[str, list[Sample]] = {}
    for sample in found:
        prompts.setdefault(sample.prompt, []).append(sample)
    return html.Div([_column(prompt, written) for prompt, written in prompts.items()], className="rw-samples")


def _column(prompt: str, written: Sequence[Sample]) -> Component:
    newest = sorted(written, key=lambda sample: sample.step, reverse=True)
    rest = len(newest) - SHOWN_SAMPLES
    head = html.Div(
        [html.Span("Prompt", className="rw-stat-label"), html.Pre(fmt.visible(prompt) or "(empty)")],
        className="rw-prompt",
    )
    cards = [_sample(sample, newest=index == 0) for index, sample in enumerate(newest[:SHOWN_SAMPLES])]
    more = html.P(f"{rest:,} older samples are stored and not shown.", className="rw-quiet") if rest > 0 else None
    return html.Section([head, *cards, more], className="rw-sample-column")


def _sample(sample: Sample, *, newest: bool) -> Component:
    text = sample.text.removeprefix(sample.prompt)
    return html.Article(
        [
            html.Header(
                [
                    html.Span(f"step {sample.step:,}", className="rw-num"),
                    html.Span("newest", className="rw-tag") if newest else None,
                ]
            ),
            html.Pre(
                [html.Span(fmt.visible(sample.prompt), className="rw-given"), html.Span(fmt.visible(text))],
                className="rw-sample-text",
            ),
        ],
        className="rw-sample",
        key=f"{sample.step}",
    )


def config(run: Run) -> Component:
    """Every setting of the run; those that differ from the default are marked, unknown ones are listed as they are."""
    if not run.config:
        return parts.empty(
            "sliders", "No config", "This run reported no settings. Give init(config={…}) to see them here."
        )
    known = {setting.name: setting for setting in settings()}
    ours = run.launched or "preset" in run.config
    rows = []
    for name, value in run.config.items():
        setting = known.get(name) if ours else None
        changed = setting is not None and value != setting.default
        rows.append(_config_row(name, value, setting.help.replace("`", "") if setting else "", changed))
    return html.Div(
        [
            html.P("Marked settings differ from the trainer's defaults.", className="rw-quiet") if ours else None,
            html.Div(rows, className="rw-config", role="table"),
            _origin(run),
        ]
    )


def _config_row(name: str, value: Any, meaning: str, changed: bool) -> Component:
    return html.Div(
        [
            html.Span(
                [html.Code(fmt.visible(name)), html.Span("changed", className="rw-tag") if changed else None],
                role="cell",
            ),
            html.Code(fmt.setting(value) or "(empty)", className="rw-config-value", role="cell"),
            html.Span(meaning, className="rw-quiet rw-small", role="cell"),
        ],
        className="rw-config-row",
        role="row",
    )


def _origin(run: Run) -> Component:
    facts: Mapping[str, str] = {
        "run": run.id,
        "started by": "this server" if run.launched else "the script itself, through the SDK",
        "host": run.host,
        "process": str(run.pid) if run.pid else "",
    }
    items = [html.Span([f"{name} ", html.Code(fmt.visible(value))]) for name, value in facts.items() if value]
    return html.Div(items, className="rw-facts rw-quiet rw-origin")


def output(lines: Sequence[LogLine]) -> Component:
    """The last lines of the worker's output; standard error is marked by a bar and a word, not by colour alone."""
    if not lines:
        return parts.empty("terminal", "No output yet", "What the worker prints appears here, line by line.")
    rows = [
        html.Span([html.Span("err ", className="rw-log-stream") if line.stream == "stderr" else None, fmt.visible(line.text), "\n"],
                  className=f"rw-log-line rw-log-{_stream(line.stream)}", key=str(line.number))
        for line in lines
    ]  # fmt: skip
    return html.Pre(rows, className="rw-log", id="run-log", tabIndex="0", **{"aria-label": "Output of the worker"})


def _stream(stream: str) -> str:
    return stream if stream in ("stdout", "stderr", "worker") else "other"
