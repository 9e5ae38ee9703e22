"""The numbers under a rule's Example heading, turned into events. Tests run them, pages draw them.

A block is `Fires:` or `Silent:` and indented lines `name: number number …`; `2.5*30` is thirty times 2.5. A line
`step:` gives the steps (else 0, 1, 2, …), a line `config:` gives settings as `name=value`. A line `samples:` is
`STEP COUNT TIMES name=number … text`: COUNT samples at a step, each the text TIMES times. A line `end:` is
`STATE name=number … reason`: how the run ended. A line `data:` is `name=number …`: what the run says of its data before
its first step. A line `time:` gives the seconds of the steps, a line `clock:` those of `clock` events after the last.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from diagnostics.rule import Rule


@dataclass(frozen=True, slots=True)
class Example:
    """A short run: its config and its series, of equal steps."""

    config: dict[str, float | str]
    series: dict[str, list[float]]
    steps: list[int]
    others: list[dict[str, Any]] = field(default_factory=list)
    """Events that are no points, by step."""
    times: list[float] = field(default_factory=list)
    """Seconds of the steps, where they are given."""
    before: list[dict[str, Any]] = field(default_factory=list)
    """Events before the first step."""

    def events(self) -> list[dict[str, Any]]:
        """The run as events, in order: at each step its points, then what else there is; what has no step at the end."""
        found: list[dict[str, Any]] = list(self.before)
        for at, step in enumerate(self.steps):
            values = {name: row[at] for name, row in self.series.items() if at < len(row)}
            if at < len(self.times):
                values["time"] = self.times[at]
            found.append({"type": "metrics", "step": step, **values})
            found += [event for event in self.others if event.get("step") == step]
        return found + [event for event in self.others if "step" not in event]


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
    others: list[dict[str, Any]] = []
    before: list[dict[str, Any]] = []
    times: list[float] = []
    for line in lines:
        name, _, rest = line.partition(": ")
        if name == "config":
            config = dict(_setting(word) for word in rest.split())
        elif name == "step":
            steps = [int(word) for word in rest.split()]
        elif name == "data":
            before.append({"type": "data", **dict(_setting(word) for word in rest.split())})
        elif name == "time":
            times = [float(word) for word in rest.split()]
        elif name == "clock":
            others += [{"type": "clock", "time": float(word)} for word in rest.split()]
        elif name == "samples":
            others += _samples(rest)
        elif name == "end":
            state, _, said = rest.partition(" ")
            extra, reason = _fields(said)
            others.append({"type": "state", "state": state, "reason": reason, **extra})
        else:
            series[name] = [value for word in rest.split() for value in _values(word)]
    return Example(config, series, steps or list(range(max(map(len, series.values())))), others, times, before)


def _samples(line: str) -> list[dict[str, Any]]:
    step, count, times, rest = line.split(" ", 3)
    extra, text = _fields(rest)
    return [{"type": "sample", "step": int(step), "prompt": "", "text": f"{text} " * int(times), **extra}] * int(count)


def _fields(text: str) -> tuple[dict[str, float | str], str]:
    """The `name=value` words that a text begins with, and the rest of it."""
    extra: dict[str, float | str] = {}
    while match := re.match(r"(\w+=\S+) ?", text):
        name, value = _setting(match.group(1))
        extra[name], text = value, text[match.end() :]
    return extra, text


def _setting(word: str) -> tuple[str, float | str]:
    name, _, value = word.partition("=")
    try:
        return name, float(value)
    except ValueError:
        return name, value


def _values(word: str) -> list[float]:
    value, _, times = word.partition("*")
    return [float(value)] * (int(times) if times else 1)
