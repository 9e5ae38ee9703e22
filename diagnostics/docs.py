"""Writes the page of all rules from their docstrings: `python -m diagnostics.docs > docs/rules.md`. Prints, reads nothing."""

from __future__ import annotations

import sys
from collections.abc import Iterable

from diagnostics.roles import ROLES
from diagnostics.rule import LOOKS_AT, Rule
from diagnostics.rules import RULES

INTRODUCTION = """\
# Rules

What Runwell can see, rule by rule. This page is made from the rules' own docstrings (`python -m diagnostics.docs`);
`runwell explain RULE` prints one of them. The numbers under each *Example* are run as tests: the first must fire, the
second must stay silent.
"""


def rule_page(rule: Rule, level: int = 2) -> str:
    """One rule's page as Markdown, its title at heading `level`; numbers become a code block."""
    lines = [f"{'#' * level} {rule.id}", "", f"*{rule.severity}* · {rule.summary}", "", needs_sentence(rule), ""]
    for heading, text in rule.sections().items():
        body = f"```text\n{text}\n```" if heading == "Example" else text
        lines += [f"{'#' * (level + 1)} {heading}", "", body, ""]
    return "\n".join(lines)


def needs_sentence(rule: Rule) -> str:
    """What the rule must be given, and what makes it surer."""
    needs = " and ".join(" or ".join(f"`{role}`" for role in roles) for roles in rule.needs)
    needs = needs or f"to see {LOOKS_AT[rule.looks_at]}"
    helps = ", ".join(f"`{role}`" for role in rule.helps)
    return f"Needs {needs}." + (f" Surer with {helps}." if helps else "")


def roles_page() -> str:
    """The table of roles and the names that they are found under."""
    lines = [
        "## Roles",
        "",
        "Rules ask for roles. A series gets its role by its name (case and separators do not matter); `--map name=role`",
        "gives any other name a role.",
        "",
        "| role | what it is | logged | names |",
        "|---|---|---|---|",
    ]
    for role in ROLES:
        unit = f" ({role.unit})" if role.unit else ""
        note = f"; {role.smoothing}" if role.smoothing else ""
        names = ", ".join(f"`{alias}`" for alias in role.aliases)
        lines.append(f"| `{role.id}` | {role.meaning}{unit}{note} | {role.cadence} | {names} |")
    return "\n".join(lines) + "\n"


def page(rules: Iterable[Rule] = RULES) -> str:
    """The whole of docs/rules.md."""
    rules = tuple(rules)
    table = ["| rule | usual severity | what it sees |", "|---|---|---|"]
    table += [f"| [`{rule.id}`](#{rule.id}) | {rule.severity} | {rule.summary} |" for rule in rules]
    return "\n".join([INTRODUCTION, *table, "", *(rule_page(rule) for rule in rules), roles_page()])


if __name__ == "__main__":
    sys.stdout.write(page())
