"""Options of rules, for all projects and for single ones: a plain mapping in, checked options out. Pure: knows no file.

{"plateau": {"share": 0.3}, "projects": {"tiny": {"plateau": {"share": 0.5}}}}
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from diagnostics.rule import OptionError
from diagnostics.rules import BY_ID

PROJECTS = "projects"
"""The one name beside rule ids: what holds for single projects stands under it."""

Options = dict[str, dict[str, Any]]
"""Options by rule id, as `Engine` takes them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RuleOptions:
    """Thresholds that differ from the rules' own."""

    everywhere: Options = field(default_factory=dict)
    projects: Mapping[str, Options] = field(default_factory=dict)

    @classmethod
    def from_mapping(cls, value: object) -> RuleOptions:
        """Check what a settings file holds. Raises `OptionError` with one sentence: what was seen, what is allowed."""
        table = dict(_table(value, "rule settings"))
        projects = _table(table.pop(PROJECTS, {}), PROJECTS)
        return cls(
            everywhere=_checked(table, ""),
            projects={
                name: _checked(_table(rules, f"{PROJECTS}.{name}"), f"{PROJECTS}.{name}: ")
                for name, rules in projects.items()
            },
        )

    def of(self, project: str) -> Options:
        """The options for a project's runs: its own, and under them those for all."""
        own = self.projects.get(project, {})
        return {rule: {**self.everywhere.get(rule, {}), **own.get(rule, {})} for rule in {**self.everywhere, **own}}


def _table(value: object, what: str) -> Mapping[str, Any]:
    if isinstance(value, Mapping):
        return value
    raise OptionError(f"{what} must be a table, not {value!r:.60}")


def _checked(table: Mapping[str, Any], where: str) -> Options:
    return {rule: _options(rule, given, where) for rule, given in table.items()}


def _options(rule_id: str, given: object, where: str) -> dict[str, Any]:
    rule = BY_ID.get(rule_id)
    if rule is None:
        raise OptionError(f"{where}no rule is called {rule_id!r}; rules are: {', '.join(BY_ID)}")
    if not isinstance(given, Mapping):
        raise OptionError(f"{where}{rule_id} must be a table of options, not {given!r:.60}; it has: {_known(rule_id)}")
    try:
        checked = rule.checked_options(given)
    except OptionError as error:
        raise OptionError(f"{where}{error}") from None
    return {name: _fitting(f"{where}{rule_id}", name, value, rule.options[name]) for name, value in checked.items()}


def _fitting(where: str, name: str, value: float, default: object) -> float | int:
    """The value in the kind of number that the rule works with: counts of points are whole."""
    if not math.isfinite(value):
        raise OptionError(f"{where}: {name} = {value!r} is not a finite number; the default is {default!r}")
    if value < 0:
        raise OptionError(f"{where}: {name} = {value!r} is below 0; the default is {default!r}")
    if not isinstance(default, int):
        return value
    if value != int(value):
        raise OptionError(f"{where}: {name} = {value!r} is not a whole number; the default is {default!r}")
    return int(value)


def _known(rule_id: str) -> str:
    return ", ".join(f"{name} ({value!r})" for name, value in BY_ID[rule_id].options.items()) or "none"
