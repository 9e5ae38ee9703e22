"""What reaches a running worker from outside: signals, and commands checked before they act.

Both only leave word; the loop acts at step boundaries, so that a step is never cut in two. Standard library only.
"""

from __future__ import annotations

import signal
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import FrameType
from typing import Any

from trainer.config import ConfigError, settings
from trainer.errors import CommandError

RATE_FACTOR_LOW, RATE_FACTOR_HIGH = 1e-6, 1e3

_SAMPLE_ARGUMENTS = {"temperature": "temperature", "top_k": "top_k", "top_p": "top_p", "tokens": "sample_tokens"}
"""Argument of `sample` → the setting whose bounds it has."""


class StopSignal:
    """Whether SIGTERM or SIGINT came. The second SIGINT acts as without us: someone is in a hurry."""

    def __init__(self) -> None:
        self.name = ""

    def install(self) -> None:
        """Listen from now on. Main thread only."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._heard)

    def over(self) -> None:
        """Hear nothing any more: what a signal asks for has been done. Python itself would die of a late one as it ends."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)

    def _heard(self, number: int, frame: FrameType | None) -> None:
        self.name = signal.Signals(number).name
        if number == signal.SIGINT:
            signal.signal(signal.SIGINT, signal.default_int_handler)


@dataclass(frozen=True, kw_only=True, slots=True)
class LiveSettings:
    """What `set` can change while a run is running; kept in its checkpoints."""

    learning_rate_factor: float = 1.0
    """Multiplies the schedule's rate."""
    grad_clip: float = 1.0
    """Takes the place of the config's limit; 0: no clipping."""

    def changed(self, args: Mapping[str, Any]) -> LiveSettings:
        """A copy with `learning_rate_factor` and/or `grad_clip` changed. Raises `CommandError`."""
        unknown = sorted(set(args) - {"learning_rate_factor", "grad_clip"})
        if unknown or not args:
            raise CommandError(f"set takes learning_rate_factor and grad_clip, not {', '.join(unknown) or 'nothing'}")
        new = self
        if "learning_rate_factor" in args:
            new = replace(new, learning_rate_factor=_factor(args["learning_rate_factor"]))
        if "grad_clip" in args:
            new = replace(new, grad_clip=float(_checked("grad_clip", args["grad_clip"])))
        return new


@dataclass(frozen=True, kw_only=True, slots=True)
class SampleRequest:
    """What `sample` asks for; None: as the config says."""

    prompt: str | None = None
    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    tokens: int | None = None


def parse_sample(args: Mapping[str, Any]) -> SampleRequest:
    """Check the arguments of a `sample` command. Raises `CommandError`."""
    unknown = sorted(set(args) - {"prompt", *_SAMPLE_ARGUMENTS})
    if unknown:
        raise CommandError(f"sample takes prompt, {', '.join(_SAMPLE_ARGUMENTS)}, not {', '.join(unknown)}")
    checked: dict[str, Any] = {
        name: _checked(setting, args[name]) for name, setting in _SAMPLE_ARGUMENTS.items() if args.get(name) is not None
    }
    if args.get("prompt") is not None:
        checked["prompt"] = _checked("prompts", args["prompt"])
    return SampleRequest(**checked)


def _checked(setting_name: str, value: object) -> bool | int | float | str:
    setting = next(setting for setting in settings() if setting.name == setting_name)
    try:
        parsed = setting.parse(value)
        setting.check(parsed)
    except ConfigError as error:
        raise CommandError(str(error)) from None
    return parsed


def _factor(value: object) -> float:
    if (
        isinstance(value, bool)
        or not isinstance(value, (int, float))
        or not RATE_FACTOR_LOW <= value <= RATE_FACTOR_HIGH
    ):
        raise CommandError(
            f"learning_rate_factor = {value!r} is not allowed; it takes a number from {RATE_FACTOR_LOW:g} to {RATE_FACTOR_HIGH:g}"
        )
    return float(value)
