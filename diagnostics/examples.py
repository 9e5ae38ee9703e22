"""The numbers under a rule's Example heading, turned into events. Tests run them, pages draw them.

A block is `Fires:` or `Silent:` and indented lines `name: number number …`; `2.5*30` is thirty times 2.5. A line
`step:` gives the steps (else 0, 1, 2, …), a line `config:` gives settings as `name=value`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from diagnostics.rule import Rule


@dataclass(frozen=True, slots=True)
class Example:
    """A short run: its config and its series, of equal steps."""

    config: dict[str, float | str]
    series: dict[str, list[float]]
    steps: list[int]

    def events(self) -> list[dict[str, Any]]:
        """The run as events, in order."""
        return [
            {"type": "metrics", "step": step, **{name: row[at] for name, row in self.series.items() if at < len(row)}}
            for at, step in enumerate(self.steps)
        ]


def examples(rule: Rule) -> dict[str, Example]:
    """The examples of a rule by `Fires` and `Silent`. Raises ValueError when its page has a line that cannot be read."""
    blocks: dict[str, list[str]] = {}
    name = ""
    for line in rule.sections().get("Example", "").splitlines():
        if line in ("Fires:", "Silent:"):
            name = line[:-1]
            blocks[name] = []
        elif line.strip():
            blocks[name].append(line.strip())
    return {name: _example(lines) for name, lines in blocks.items()}


def _example(lines: list[str]) -> Example:
    config: dict[str, float | str] = {}
    series: dict[str, list[float]] = {}
    steps: list[int] = []
    for line in lines:
        name, _, rest = line.partition(": ")
        if name == "config":
            config = dict(_setting(word) for word in rest.split())
        elif name == "step":
            steps = [int(word) for word in rest.split()]
        else:
            series[name] = [value for word in rest.split() for value in _values(word)]
    return Example(config, series, steps or list(range(max(map(len, series.values())))))


def _setting(word: str) -> tuple[str, float | str]:
    name, _, value = word.partition("=")
    try:
        return name, float(value)
    except ValueError:
        return name, value


def _values(word: str) -> list[float]:
    value, _, times = word.partition("*")
    return [float(value)] * (int(times) if times else 1)
