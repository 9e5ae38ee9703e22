"""Which charts a run has and which series share them: the map from series names to roles, colours and limits. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from dashboard.roles import LOSSES, leading, role_of
from dashboard.ui import theme
from dashboard.ui.figures import Chart
from runwell.metrics import BY_NAME

ROLE_COLORS = {
    "train_loss": theme.TRAIN,
    "val_loss": theme.VALIDATION,
    "grad_norm": theme.GRADIENT,
    "grad_norm_first": theme.TRAIN,
    "grad_norm_last": theme.RATE,
    "learning_rate": theme.RATE,
    "tokens_per_second": theme.SPEED,
}
SIDE_CHARTS = (
    ("gradient", "Gradient norm before clipping", ("grad_norm", "grad_norm_first", "grad_norm_last"), True),
    ("rate", "Learning rate", ("learning_rate",), False),
    ("speed", "Tokens per second", ("tokens_per_second",), False),
)
NOT_DRAWN = ("tokens", "epoch")
"""Counters that grow by themselves: they serve as axes and say nothing as curves."""

ALWAYS = {"loss": ("train/loss", "val/loss"), "gradient": ("train/grad_norm",), "rate": ("train/learning_rate",),
          "speed": ("perf/tokens_per_second",)}  # fmt: skip
"""Drawn empty for our own trainer before their first point, so that the page does not jump when it comes."""

OTHER = "other:"
"""Begins the key of a chart that draws one series by itself."""

FEW = 4
LONELY = "Other"
"""The group of metrics that share their name with no other."""


def loss_chart(names: Sequence[str]) -> Chart:
    """The one large chart: training and validation loss together. Others that could be either are grey beside them."""
    colors = _colors(names, LOSSES)
    judged = {leading(names, role) for role in LOSSES}
    colors = {name: color if name in judged else theme.LIMIT for name, color in colors.items()}
    if not colors:
        colors = {"train/loss": theme.TRAIN, "val/loss": theme.VALIDATION}
    return Chart(key="loss", title="Loss", unit="nats/token", colors=colors)


def has_loss(names: Sequence[str]) -> bool:
    """Whether the run logs a loss by any name; a run without any points may still come to."""
    return not names or bool(_colors(names, LOSSES))


def side_charts(names: Sequence[str], config: Mapping[str, Any]) -> list[Chart]:
    """The charts beside it: gradient norm with the clip line, learning rate, speed, then every other metric that we know."""
    charts = []
    for key, title, roles, log in SIDE_CHARTS:
        colors = _colors(names, roles) or (dict.fromkeys(ALWAYS[key], ROLE_COLORS[roles[0]]) if not names else {})
        if not colors:
            continue
        clip = _positive(config.get("grad_clip")) if key == "gradient" else None
        label = f"clip {clip:g}" if clip else ""
        charts.append(Chart(key=key, title=title, unit="", colors=colors, log=log, limit=clip, limit_label=label))
    return charts + [single(name) for name in _others(names) if name in BY_NAME]


def own_metrics(names: Sequence[str]) -> list[str]:
    """Series that only the run's owner knows: each has a chart of its own, below those that everybody has."""
    return [name for name in _others(names) if name not in BY_NAME]


def _others(names: Sequence[str]) -> list[str]:
    drawn = {role for _, _, roles, _ in SIDE_CHARTS for role in roles} | {*LOSSES, *NOT_DRAWN}
    return [name for name in names if role_of(name) not in drawn]


def find(key: str, names: Sequence[str], config: Mapping[str, Any]) -> Chart | None:
    """The chart with this key, or None when the run has none such."""
    if key == "loss":
        return loss_chart(names)
    if key.startswith(OTHER):
        name = key.removeprefix(OTHER)
        return single(name) if name in names else None
    return next((chart for chart in side_charts(names, config) if chart.key == key), None)


def single(name: str) -> Chart:
    """The chart of one series by itself."""
    metric = BY_NAME.get(name)
    note = f"{metric.meaning}{f' ({metric.unit})' if metric.unit else ''}" if metric else ""
    return Chart(
        key=OTHER + name,
        title=metric.label if metric else name,
        unit=metric.unit if metric else "",
        colors={name: theme.OTHER},
        note=note,
    )


def groups(names: Sequence[str]) -> dict[str, list[str]]:
    """Metrics by what their names have in common, in the order in which they came; the lonely ones last.

    A group is the path before the last slash (`act/block0`), else what stands before a number or a dot at the end
    (`probe_17`, `layer.3`). A path with few members joins those of the path above it.
    """
    stems = {name: _stem(name) for name in names}
    while True:
        sizes = Counter(stems.values())
        small = {name: stem for name, stem in stems.items() if "/" in stem and sizes[stem] < FEW}
        if not small:
            break
        stems |= {name: stem.rpartition("/")[0] for name, stem in small.items()}
    found: dict[str, list[str]] = {}
    for name, stem in stems.items():
        found.setdefault(stem if sizes[stem] > 1 else LONELY, []).append(name)
    lonely = found.pop(LONELY, [])
    return found | ({LONELY: lonely} if lonely else {})


def _stem(name: str) -> str:
    path, slash, _ = name.rpartition("/")
    return path if slash else name.rstrip("0123456789").rpartition(".")[0] or re.sub(r"[._-]?\d+$", "", name)


def lone(name: str) -> Chart:
    """A chart of one series by itself, in the colour that it has on the run's charts."""
    color = ROLE_COLORS.get(role_of(name) or "", theme.OTHER)
    return Chart(key=f"lone:{name}", title=name, unit="", colors={name: color})


def _colors(names: Sequence[str], roles: Sequence[str]) -> dict[str, str]:
    return {name: ROLE_COLORS[role] for role in roles for name in names if role_of(name) == role}


def _positive(value: Any) -> float | None:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) and value > 0 else None
