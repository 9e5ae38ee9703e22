"""The launch form from `trainer.config.settings()`: groups, fields, and what was typed back as settings. Pure.

No setting is written down here twice: meaning, bounds and choices come from the one definition.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import dash_mantine_components as dmc
from dash import html
from dash.development.base_component import Component

from dashboard.ui import estimates, parts, theme
from dashboard.ui import format as fmt
from trainer.catalog import DatasetInfo
from trainer.config import ConfigError, Setting, TrainConfig, settings
from trainer.presets import PRESETS, build

ESSENTIALS = ("name", "dataset", "max_steps", "batch_size", "learning_rate", "dropout")
GROUPS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("Model", "sizes of the network", ("n_layer", "n_head", "n_embd", "n_ff", "context_length")),
    ("Data and tokenizer", "what is read and how it is cut",
     ("data_limit_characters", "validation_fraction", "tokenizer", "vocab_size")),
    ("Optimisation", "schedule, decay, clipping, precision",
     ("min_learning_rate", "warmup_steps", "accumulation_steps", "weight_decay", "beta1", "beta2", "grad_clip", "precision",
      "device", "seed")),
    ("Watching", "how often to log, evaluate, sample and save",
     ("log_interval", "eval_interval", "eval_batches", "sample_interval", "sample_tokens", "prompts", "temperature", "top_k",
      "top_p", "checkpoint_interval", "early_stopping_patience", "early_stopping_min_delta")),
    ("Resume and faults", "start from a checkpoint, or make the run sick on purpose", ("project", "resume", "fault", "fault_step")),
)  # fmt: skip
FIELD = "launch-field"


def labelled(name: str) -> str:
    """`n_layer` → `N layer`, with the names that people use where they differ."""
    words = {
        "n_layer": "Layers", "n_head": "Heads", "n_embd": "Width", "n_ff": "Feed-forward width", "max_steps": "Steps",
        "dataset": "Data set", "grad_clip": "Clip at gradient norm", "top_k": "Top-k", "top_p": "Top-p",
        "vocab_size": "Vocabulary", "beta1": "Beta 1", "beta2": "Beta 2",
    }  # fmt: skip
    return words.get(name, name.replace("_", " ").capitalize())


def field_id(name: str) -> dict[str, str]:
    """The id of a setting's field."""
    return {"type": FIELD, "name": name}


def preset_cards(chosen: str) -> Component:
    """One card a preset: name, note, parameters."""
    cards = []
    for preset in PRESETS:
        config = build({"preset": preset.name})
        count = estimates.parameters(config)
        facts = f"{fmt.count(count)} parameters · {config.max_steps:,} steps · context {config.context_length}"
        text = [
            html.Strong(preset.name),
            html.Span(preset.note, className="rw-small"),
            html.Span(facts, className="rw-quiet rw-small rw-num"),
        ]
        cards.append(
            dmc.RadioCard(
                html.Div(
                    [dmc.RadioIndicator(size="xs"), html.Div(text, className="rw-preset-text")],
                    className="rw-preset-in",
                ),
                value=preset.name,
                className="rw-preset",
                **{"aria-label": f"preset {preset.name}"},
            )
        )
    return dmc.RadioGroup(
        html.Div(cards, className="rw-presets"), id="launch-preset", value=chosen, **{"aria-label": "Preset"}
    )


def essentials(values: Mapping[str, Any], datasets: Sequence[DatasetInfo]) -> Component:
    """The few settings that most people change."""
    known = {setting.name: setting for setting in settings()}
    return html.Div([field(known[name], values[name], datasets) for name in ESSENTIALS], className="rw-fields")


def more(values: Mapping[str, Any], datasets: Sequence[DatasetInfo]) -> Component:
    """Everything else, in groups that start closed."""
    known = {setting.name: setting for setting in settings()}
    items = [
        dmc.AccordionItem(
            [
                dmc.AccordionControl(
                    [html.Span(title, className="rw-group-title"), html.Span(note, className="rw-quiet rw-small")]
                ),
                dmc.AccordionPanel(
                    html.Div([field(known[name], values[name], datasets) for name in names], className="rw-fields")
                ),
            ],
            value=title,
        )
        for title, note, names in GROUPS
    ]
    return dmc.Accordion(
        items, multiple=True, variant="separated", value=[], id="launch-groups", chevronPosition="left"
    )


def field(setting: Setting, value: Any, datasets: Sequence[DatasetInfo] = ()) -> Component:
    """The control for one setting, with its meaning below and its error in place of it."""
    common: dict[str, Any] = {
        "id": field_id(setting.name), "label": labelled(setting.name), "description": setting.help.replace("`", ""), "value": value,
        "inputWrapperOrder": ["label", "input", "error", "description"],
    }  # fmt: skip
    if setting.name == "dataset":
        return dmc.Select(**common, data=_dataset_options(datasets), allowDeselect=False, searchable=True)
    if setting.choices:
        return dmc.Select(**common, data=_choices(setting), allowDeselect=False, searchable=bool(setting.meanings))
    if setting.name == "prompts":
        return dmc.Textarea(**common, autosize=True, minRows=2, maxRows=6, debounce=300)
    if setting.kind in (int, float):
        common["value"] = as_typed(value)
        return dmc.TextInput(**common, debounce=300, inputProps={"inputMode": "decimal"}, placeholder=setting.allowed)
    return dmc.TextInput(**common, debounce=300)


def _choices(setting: Setting) -> list[dict[str, str]]:
    """The choices as a list to pick from, with what each stands for where the setting says so."""
    meanings = setting.meanings
    return [
        {"value": name, "label": f"{name}: {meanings[name]}" if name in meanings else name} for name in setting.choices
    ]


def as_typed(value: Any) -> str:
    """A number as a person types it: 0.001, 1e-05, 2000."""
    return f"{value:g}" if isinstance(value, float) else str(value)


def _dataset_options(datasets: Sequence[DatasetInfo]) -> list[dict[str, str]]:
    return [{"value": info.name, "label": f"{info.name} · {_size(info)}"} for info in datasets]


def _size(info: DatasetInfo) -> str:
    return fmt.file_size(info.bytes or estimates.BUILT_IN_BYTES)


def read(names: Sequence[str], values: Sequence[Any], preset: str) -> TrainConfig:
    """The config that the fields describe. Raises `ConfigError` naming the field that is wrong."""
    given = dict(zip(names, values, strict=True))
    return TrainConfig.from_mapping({**given, "preset": preset})


def errors(names: Sequence[str], values: Sequence[Any], preset: str) -> dict[str, str]:
    """The message for every field that is wrong: each alone first, then what contradicts what."""
    known = {setting.name: setting for setting in settings()}
    wrong: dict[str, str] = {}
    for name, value in zip(names, values, strict=True):
        try:
            known[name].check(known[name].parse(value if value is not None else ""))
        except ConfigError as error:
            wrong[error.setting] = _without_flag(str(error))
    if not wrong:
        try:
            read(names, values, preset)
        except ConfigError as error:
            wrong[error.setting] = str(error)
    return wrong


def _without_flag(message: str) -> str:
    # On the page nobody typed a flag; the command line's hint would only puzzle.
    return message.rpartition(" (--")[0] or message


def summary(config: TrainConfig, data_bytes: int | None, data_error: str | None) -> Component:
    """The sizes of the run and the checks before its start."""
    sizes = estimates.estimate(config, data_bytes)
    numbers = [
        parts.stat("Parameters", fmt.count(sizes.parameters), f"{sizes.parameters:,}"),
        parts.stat("Memory, about", fmt.file_size(sizes.state_bytes + sizes.activation_bytes), "in 32 bits"),
        parts.stat("Tokens", fmt.count(sizes.total_tokens), f"{fmt.count(sizes.tokens_per_step)} a step"),
        parts.stat(
            "Epochs, about",
            f"{sizes.epochs:.2g}" if sizes.epochs else fmt.MISSING,
            f"first loss near {sizes.uniform_loss:.2f}",
        ),
    ]
    return html.Div(
        [
            html.Div(numbers, className="rw-stats rw-stats-2"),
            check_list(estimates.checks(config, data_bytes, data_error)),
        ]
    )


def check_list(found: Sequence[estimates.Check]) -> Component:
    """The pre-flight checks, each with a shape, a name and a sentence."""
    looks = {
        "good": theme.Look("OK", "check", "good"),
        "warning": theme.Look("Doubtful", "triangle", "warning"),
        "critical": theme.Look("Wrong", "octagon", "critical"),
    }
    rows = [
        html.Li(
            [
                parts.badge(looks[check.level]),
                html.Div([html.Strong(check.name), html.Div(check.says, className="rw-quiet rw-small")]),
            ]
        )
        for check in found
    ]
    return html.Ul(rows, className="rw-checks", **{"aria-label": "Checks before the start"})
