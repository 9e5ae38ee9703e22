"""What the commands that judge logs share: their flags, and what those say. No command by itself."""

from __future__ import annotations

import argparse
import json
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from diagnostics import Engine
    from diagnostics.options import RuleOptions

STATUS = {"healthy": 0, "warning": 1, "critical": 2}
"""Exit statuses of verdicts."""

UNREADABLE = 3

SHOWN = 12
"""Names of series that a sentence lists."""


class BadArgument(ValueError):
    """A flag's value cannot be used. The message is the sentence to show."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Judging:
    """How logs are to be judged, as the flags say."""

    config: Mapping[str, Any]
    """Settings that the logs lack."""
    roles: Mapping[str, str]
    """Series name to role."""
    options: RuleOptions
    """Thresholds that differ from the rules' own."""
    project: str = ""
    """Whose thresholds count."""

    def engine(self) -> Engine:
        """A new engine for one log."""
        from diagnostics import Engine

        return Engine(self.config, options=self.options.of(self.project), roles=self.roles)


def unjudged(file: str, engine: Engine) -> str:
    """The sentence to say of a log that no rule can judge; empty when there is one."""
    if engine.coverage().ran:
        return ""
    return f"{file} holds no series that a rule knows; name one with --map NAME=train_loss{_listed(engine)}"


def doubts(file: str, engine: Engine, roles: Mapping[str, str]) -> list[str]:
    """What is to be said of a log whose numbers may not have been taken for what they are."""
    from diagnostics.roles import normal

    known = set(map(normal, engine.names))
    found = [
        f"{file} has no series {name!r}, which --map calls {role}{_listed(engine)}"
        for name, role in roles.items()
        if role and normal(name) not in known and engine.series(role) is None
    ]
    if engine.series("train_loss") is None and engine.series("val_loss") is None:
        found.append(
            f"{file}: none of its series is known as a loss; name one with --map NAME=train_loss{_listed(engine)}"
        )
    return found


def _listed(engine: Engine) -> str:
    names = engine.names
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f" (it has {', '.join(names[:SHOWN])}{more})" if names else ""


def add_flags(parser: argparse.ArgumentParser) -> None:
    """`--config`, `--map`, `--settings` and `--project`."""
    parser.add_argument(
        "--config", metavar="FILE", help="JSON or TOML with settings that the log lacks (vocab_size, max_steps, …)"
    )
    add_map_flag(parser, "what a series is, as in my_nll=train_loss; without a role it is left out; may be repeated")
    add_settings_flag(parser)
    parser.add_argument("--project", metavar="NAME", default="", help="whose thresholds of the settings file count")


def add_map_flag(parser: argparse.ArgumentParser, says: str) -> None:
    """`--map`."""
    parser.add_argument("--map", metavar="NAME=ROLE", action="append", default=[], help=says)


def add_settings_flag(parser: argparse.ArgumentParser) -> None:
    """`--settings`."""
    parser.add_argument("--settings", metavar="FILE", help="TOML or JSON with other thresholds (see docs/logs.md)")


def read_settings(path: str | None) -> RuleOptions:
    """The options in a settings file, or none. Raises `BadArgument`."""
    from dashboard.errors import SettingsError
    from dashboard.rule_settings import read_rule_settings

    try:
        return read_rule_settings(None if path is None else Path(path))
    except SettingsError as error:
        raise BadArgument(f"--settings {error}") from None


def read_flags(args: argparse.Namespace) -> Judging:
    """What the flags of `add_flags` say, checked. Raises `BadArgument`."""
    roles = read_roles(args.map)
    options = read_settings(args.settings)
    return Judging(config=_read_config(args.config), roles=roles, options=options, project=args.project)


def _read_config(path: str | None) -> dict[str, Any]:
    from diagnostics.facts import NAMES, Facts, read_facts, unread

    if path is None:
        return {}
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
        # TOML has no bare {: what begins with one, or with a list, was meant as JSON and is told so
        toml = path.endswith(".toml") or (not path.endswith(".json") and text.lstrip()[:1] not in ("{", "[", ""))
        value = tomllib.loads(text) if toml else json.loads(text)
    except OSError as error:
        raise BadArgument(f"--config {path} cannot be read: {error.strerror or error}") from None
    except (ValueError, RecursionError) as error:
        raise BadArgument(f"--config {path} is not {'TOML' if toml else 'JSON'}: {error}") from None
    if not isinstance(value, dict):
        raise BadArgument(f"--config {path} holds {type(value).__name__}; it must be an object of settings")
    for name, said in (wrong := unread(value)).items():
        print(f"runwell: --config {path}: {name} = {said[:80]!r} is no number and is passed over", file=sys.stderr)
    if value and not wrong and read_facts(value) == Facts():
        known = ", ".join(names[0] for names in NAMES.values())
        print(f"runwell: --config {path} holds no setting that a rule asks for; they are {known}", file=sys.stderr)
    return value


def read_roles(pairs: list[str]) -> dict[str, str]:
    """What `--map` says: name → role, empty for what is left out. Raises `BadArgument`."""
    from diagnostics.roles import RoleError, RoleMap

    roles = {}
    for pair in pairs:
        name, sign, role = pair.rpartition("=")
        if not sign or not name:
            raise BadArgument(f"--map {pair!r} must be NAME=ROLE, for example --map my_loss=train_loss")
        roles[name] = role
    try:
        RoleMap(roles)
    except RoleError as error:
        raise BadArgument(f"--map: {error}") from None
    return roles
