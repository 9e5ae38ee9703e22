"""The settings file of the rules, `rules.toml` (or `rules.json`) under home: read, checked, handed on. No store, no server.

The server reads it when it starts; `runwell diagnose`, `watch` and `replay` take any such file with `--settings`.
"""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

from dashboard.errors import SettingsError
from diagnostics.options import RuleOptions
from diagnostics.rule import OptionError

NAMES = ("rules.toml", "rules.json")
"""What the file may be called under home; one of them, not both."""

MAX_BYTES = 1024 * 1024


def find_rule_settings(home: Path) -> Path | None:
    """The settings file of a home, or None. Raises `SettingsError` when there are two: nobody could tell which counts."""
    found = [home / name for name in NAMES if (home / name).exists()]
    if len(found) > 1:
        raise SettingsError(f"{home} holds {' and '.join(NAMES)}; only one of them can count: take the other away")
    return found[0] if found else None


def read_rule_settings(path: Path | None) -> RuleOptions:
    """The options in a settings file; none without a file. Raises `SettingsError` with one sentence."""
    if path is None:
        return RuleOptions()
    try:
        return RuleOptions.from_mapping(read_table(path))
    except OptionError as error:
        raise SettingsError(f"{path}: {error}") from None


def read_table(path: Path) -> Any:
    """What a TOML or JSON file holds, by the end of its name; one that tells nothing may be either. Raises `SettingsError`."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror or error}") from None
    if len(data) > MAX_BYTES:
        raise SettingsError(f"{path} holds {len(data):,} bytes; settings take at most {MAX_BYTES:,}")
    toml = path.suffix == ".toml" or (path.suffix != ".json" and data.lstrip()[:1] not in (b"{", b""))
    try:
        text = data.decode("utf-8-sig")
        return tomllib.loads(text) if toml else json.loads(text)
    except (ValueError, RecursionError) as error:
        raise SettingsError(f"{path} is not {'TOML' if toml else 'JSON'}: {error}") from None
