"""Which charts a run has and which series share them: the map from series names to roles, colours and limits. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dashboard.roles import role_of
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

MAX_OTHERS = 24


def loss_chart(names: Sequence[str]) -> Chart:
    """The one large chart: training and validation loss together."""
    colors = _colors(names, ("train_loss", "val_loss"))
    if not colors:
        colors = {"train/loss": theme.TRAIN, "val/loss": theme.VALIDATION}
    return Chart(key="loss", title="Loss", unit="nats/token", colors=colors)


def side_charts(names: Sequence[str], config: Mapping[str, Any]) -> list[Chart]:
    """The charts beside it: gradient norm with the clip line, learning rate, speed, then every other series."""
    charts = []
    for key, title, roles, log in SIDE_CHARTS:
        colors = _colors(names, roles) or (dict.fromkeys(ALWAYS[key], ROLE_COLORS[roles[0]]) if not names else {})
        if not colors:
            continue
        clip = _positive(config.get("grad_clip")) if key == "gradient" else None
        label = f"clip {clip:g}" if clip else ""
        charts.append(Chart(key=key, title=title, unit="", colors=colors, log=log, limit=clip, limit_label=label))
    return charts + other_charts(names)


def other_charts(names: Sequence[str]) -> list[Chart]:
    """One chart for each series that no other chart draws."""
    drawn = {role for _, _, roles, _ in SIDE_CHARTS for role in roles} | {"train_loss", "val_loss", *NOT_DRAWN}
    others = [name for name in names if role_of(name) not in drawn]
    return [_other(name) for name in others[:MAX_OTHERS]]


def _other(name: str) -> Chart:
    metric = BY_NAME.get(name)
    note = f"{metric.meaning}{f' ({metric.unit})' if metric.unit else ''}" if metric else ""
    return Chart(
        key=f"other:{name}",
        title=metric.label if metric else name,
        unit=metric.unit if metric else "",
        colors={name: theme.OTHER},
        note=note,
    )


def lone(name: str) -> Chart:
    """A chart of one series by itself, in the colour that it has on the run's charts."""
    color = ROLE_COLORS.get(role_of(name) or "", theme.OTHER)
    return Chart(key=f"lone:{name}", title=name, unit="", colors={name: color})


def _colors(names: Sequence[str], roles: Sequence[str]) -> dict[str, str]:
    return {name: ROLE_COLORS[role] for role in roles for name in names if role_of(name) == role}


def _positive(value: Any) -> float | None:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) and value > 0 else None
