"""The worker's command line: a file of settings, a flag for each setting, and one clear sentence for bad input.

`python -P -m trainer --config FILE` is what the server starts; `runwell train --preset minimal …` is what people type.
torch is loaded only when the settings are known to be good.
"""

from __future__ import annotations

import argparse
import difflib
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from runwell.home import SettingError, read_environment
from trainer.config import ConfigError, Setting, TrainConfig, settings
from trainer.control import StopSignal
from trainer.presets import PRESETS, build
from trainer.threads import wait_politely

BAD_INPUT = 2
LISTED_AT_MOST = 8
"""Choices that a flag's usage line names."""


class _Parser(argparse.ArgumentParser):
    """argparse, but an error is one sentence and an unknown flag gets a suggestion."""

    def error(self, message: str) -> NoReturn:
        self.exit(BAD_INPUT, f"{self.prog}: {message}\n")


def main(argv: Sequence[str] | None = None, prog: str = "trainer") -> int:
    """Train as the arguments say; the exit status: 0 finished or stopped, 1 crashed, 2 bad input."""
    stop = StopSignal()
    stop.install()  # before torch is loaded: a stop that comes while starting is not lost
    try:
        config = parse(sys.argv[1:] if argv is None else argv, prog)
        environment = read_environment()
    except (ConfigError, SettingError) as error:
        print(f"{prog}: {error}", file=sys.stderr)
        return BAD_INPUT
    wait_politely(os.environ)
    # Said before the wait: loading takes a second on an idle machine, and ten on a busy one.
    print("loading PyTorch", flush=True)
    from trainer.worker import work

    status = work(config, environment.home, environment.data, stop)
    stop.over()
    return status


def parse(argv: Sequence[str], prog: str = "trainer") -> TrainConfig:
    """Settings from the preset, then the file of --config, then the flags. Raises `ConfigError`; exits for --help."""
    parser = build_parser(prog)
    given, unknown = parser.parse_known_args(argv)
    if unknown:
        raise ConfigError(unknown[0][:80], _unknown_flag(unknown[0]))
    values = _read_file(given.config) if given.config else {}
    flags = {setting.name: getattr(given, setting.name) for setting in settings()}
    return build({**values, **{name: value for name, value in flags.items() if value is not None}})


def build_parser(prog: str) -> argparse.ArgumentParser:
    """The parser with a flag for every setting; `prog` is the name it calls itself in messages."""
    parser = _Parser(
        prog=prog,
        allow_abbrev=False,
        description="Train a GPT. Settings come from the preset, then from --config, then from flags.",
        epilog="Presets. " + " ".join(f"{preset.name}: {preset.note}" for preset in PRESETS),
    )
    parser.add_argument("--config", metavar="FILE", help="a JSON object of settings by name")
    for setting in settings():
        parser.add_argument(setting.flag, dest=setting.name, metavar=_metavar(setting), help=_help(setting))
    return parser


def _metavar(setting: Setting) -> str:
    if len(setting.choices) > LISTED_AT_MOST:
        return "NAME"  # the help text lists them
    return "{" + ",".join(setting.choices) + "}" if setting.choices else setting.kind.__name__.upper()


def _help(setting: Setting) -> str:
    default = (
        repr(setting.default)
        if setting.kind is str
        else f"{setting.default:g}"
        if setting.kind is float
        else str(setting.default)
    )
    return f"{setting.help} Allowed: {setting.allowed}. Default: {default}.".replace("%", "%%")


def _unknown_flag(flag: str) -> str:
    flags = ["--config", *(setting.flag for setting in settings())]
    near = difflib.get_close_matches(flag.partition("=")[0].replace("_", "-"), flags, n=1)
    hint = f"did you mean {near[0]}?" if near else "--help lists every setting"
    return f"unknown argument {flag[:80]!r}; {hint}"


def _read_file(name: str) -> dict[str, Any]:
    path = Path(name)
    try:
        values = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ConfigError(
            "config", f"the settings file {name} cannot be read: {error.strerror}; name a JSON file"
        ) from None
    except (ValueError, RecursionError) as error:
        raise ConfigError("config", f"the settings file {name} is not JSON: {error}") from None
    if not isinstance(values, dict):
        raise ConfigError(
            "config", f"the settings file {name} holds a {type(values).__name__}; it must be a JSON object of settings"
        )
    return values
