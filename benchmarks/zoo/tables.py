"""Marks as Markdown tables: recall, right causes and delay by family, false alarms by family, and both by rule. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence

from benchmarks.zoo.judging import Mark

NOTHING = "–"


def report(marks: Sequence[Mark]) -> str:
    """All tables, the totals first."""
    sick, healthy = [m for m in marks if m.case.sick], [m for m in marks if not m.case.sick]
    parts = [totals(sick, healthy), "Sick runs:", sick_table(sick), "Healthy runs:", healthy_table(healthy)]
    return "\n\n".join([*parts, "By rule:", rule_table(sick, healthy)]) + "\n"


def totals(sick: Sequence[Mark], healthy: Sequence[Mark]) -> str:
    """One line each for all runs, for those marked as hard, and for the others."""
    lines = [
        "| runs | sick | found | primary cause right, of the found | healthy | false alarms |",
        "|---|---|---|---|---|---|",
    ]
    chosen: tuple[tuple[str, Callable[[Mark], bool]], ...] = (
        ("all", lambda mark: True), ("hard cases", lambda mark: mark.case.hard), ("the others", lambda mark: not mark.case.hard),
    )  # fmt: skip
    for words, wanted in chosen:
        ill, well = list(filter(wanted, sick)), list(filter(wanted, healthy))
        found = [mark for mark in ill if mark.found]
        lines.append(
            f"| {words} | {len(ill)} | {share(len(found), len(ill))} | {share(_primary(found), len(found))} | {len(well)} "
            f"| {share(sum(mark.alarmed for mark in well), len(well))} |"
        )
    return "\n".join(lines)


def sick_table(marks: Iterable[Mark]) -> str:
    """A line a family: how many were found, with which primary cause, and how soon."""
    lines = [
        "| family | runs | found | primary right | delay, points (median, worst) | missed runs' findings |",
        "|---|---|---|---|---|---|",
    ]
    for family, group in _by_family(marks).items():
        found = [mark for mark in group if mark.found]
        delays = [mark.delay for mark in found if mark.delay is not None]
        delay = f"{statistics.median(delays):g}, {max(delays)}" if delays else NOTHING
        instead = _count(rule for mark in group if not mark.found for rule in (mark.said or {"nothing": 0}))
        name = f"{family} (hard)" if group[0].case.hard else family
        lines.append(
            f"| {name} | {len(group)} | {share(len(found), len(group))} | {share(_primary(found), len(found))} | {delay} | {instead} |"
        )
    return "\n".join(lines)


def healthy_table(marks: Iterable[Mark]) -> str:
    """A line a family: how many were called sick, and by which rules."""
    lines = ["| family | runs | false alarms | by |", "|---|---|---|---|"]
    for family, group in _by_family(marks).items():
        alarmed = [mark for mark in group if mark.alarmed]
        name = f"{family} (hard)" if group[0].case.hard else family
        rules = _count(rule for mark in alarmed for rule in mark.said)
        lines.append(f"| {name} | {len(group)} | {share(len(alarmed), len(group))} | {rules} |")
    return "\n".join(lines)


def rule_table(sick: Sequence[Mark], healthy: Sequence[Mark]) -> str:
    """A line a rule that is expected somewhere or spoke somewhere.

    Recall is over the runs for which it is the first of the expected rules; there another right rule may have spoken instead.
    """
    head = "| rule | first expected in | spoke there | right elsewhere | not expected, in sick runs | false alarms | median delay |"
    lines = [head, "|---|---|---|---|---|---|---|"]
    rules = {rule for mark in [*sick, *healthy] for rule in (*mark.case.expected[:1], *mark.said)}
    for rule in sorted(rules):
        first = [mark for mark in sick if mark.case.expected[0] == rule]
        right = [mark for mark in sick if rule in mark.right]
        there = sum(rule in mark.right for mark in first)
        wrong = sum(rule in mark.said and rule not in mark.right for mark in sick)
        false = sum(rule in mark.said for mark in healthy)
        delay = f"{statistics.median(mark.said[rule] for mark in right):g}" if right else NOTHING
        lines.append(
            f"| `{rule}` | {len(first)} | {share(there, len(first))} | {len(right) - there} | {wrong} | {share(false, len(healthy))} | {delay} |"
        )
    return "\n".join(lines)


def share(part: int, whole: int) -> str:
    """`3 of 4 (75 %)`, or a dash of nothing."""
    return f"{part} of {whole} ({100 * part / whole:.0f} %)" if whole else NOTHING


def _primary(found: Iterable[Mark]) -> int:
    return sum(mark.primary in mark.case.expected for mark in found)


def _by_family(marks: Iterable[Mark]) -> Mapping[str, list[Mark]]:
    groups: dict[str, list[Mark]] = {}
    for mark in marks:
        groups.setdefault(mark.case.family, []).append(mark)
    return dict(sorted(groups.items()))


def _count(names: Iterable[str]) -> str:
    counts: dict[str, int] = {}
    for name in names:
        counts[name] = counts.get(name, 0) + 1
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items(), key=lambda pair: -pair[1])) or NOTHING
