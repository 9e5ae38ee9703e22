"""What may be asked of a worker, and within which bounds. Pure: names and values in, checked arguments out.

The worker checks again; a value that it would refuse should be refused where a person sees the answer.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from dashboard.errors import Refused
from runwell.wire import clean_text, shorten
from trainer.config import ConfigError, settings

KINDS = ("stop", "checkpoint", "sample", "set")

RATE_FACTOR = (1e-6, 1e3)
"""Bounds of `learning_rate_factor`, as the trainer has them."""

_SETTINGS = {
    "sample": {
        "prompt": "prompts",
        "temperature": "temperature",
        "top_k": "top_k",
        "top_p": "top_p",
        "tokens": "sample_tokens",
    },
    "set": {"grad_clip": "grad_clip"},
}
"""Argument → the training setting whose bounds it has."""


def check_command(kind: object, args: object) -> tuple[str, dict[str, Any]]:
    """The command's kind and its arguments, checked. Raises Refused with what is allowed."""
    if not isinstance(kind, str) or kind not in KINDS:
        raise Refused(f"command kind {shorten(kind)} is unknown; it takes one of {', '.join(KINDS)}")
    if args is None:
        args = {}
    if not isinstance(args, Mapping):
        raise Refused(f"a command's args must be an object, not {shorten(args)}")
    known = [*_SETTINGS.get(kind, {}), *(["learning_rate_factor"] if kind == "set" else [])]
    for name in args:
        if name not in known:
            takes = f"{kind} takes {', '.join(known)}" if known else f"{kind} takes no arguments"
            raise Refused(f"unknown argument {shorten(name)}; {takes}")
    checked = {name: _check(kind, name, value) for name, value in args.items() if value is not None}
    if kind == "set" and not checked:
        raise Refused("set needs learning_rate_factor or grad_clip")
    return kind, checked


def _check(kind: str, name: str, value: object) -> Any:
    if name == "learning_rate_factor":
        low, high = RATE_FACTOR
        if (
            isinstance(value, bool)
            or not isinstance(value, (int, float))
            or not low <= value <= high
            or math.isnan(value)
        ):
            raise Refused(
                f"learning_rate_factor = {shorten(value)} is not allowed; it takes a number from {low:g} to {high:g}"
            )
        return float(value)
    setting = next(setting for setting in settings() if setting.name == _SETTINGS[kind][name])
    try:
        parsed = setting.parse(value)
        setting.check(parsed)
    except ConfigError as error:
        raise Refused(f"{name}: {error}") from None
    return clean_text(parsed) if isinstance(parsed, str) else parsed
