"""Marks as Markdown tables: the totals, recall, causes and delay by family, false alarms by family, and both by rule. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence

from benchmarks.zoo.judging import Label, Mark

NOTHING = "–"


def report(marks: Sequence[Mark]) -> str:
    """All tables, the totals first."""
    sick, healthy, harmless = labelled(marks, "sick"), labelled(marks, "healthy"), labelled(marks, "harmless")
    parts = [totals(marks), "Sick runs:", sick_table(sick), "Harmless: injured, and ended as well as their twins:"]
    parts += [quiet_table(harmless, "spoke"), "Healthy runs:", quiet_table(healthy, "false alarms")]
    if spoiled := labelled(marks, "spoiled"):
        parts += ["Planned as healthy, and gone bad of themselves (counted nowhere):", quiet_table(spoiled, "spoke")]
    return "\n\n".join([*parts, "By rule:", rule_table(sick, healthy)]) + "\n"


def labelled(marks: Iterable[Mark], label: Label) -> list[Mark]:
    """Those of the marks whose run is so labelled."""
    return [mark for mark in marks if mark.label == label]


def totals(marks: Sequence[Mark]) -> str:
    """One line each for all runs, for those marked as hard, and for the others."""
    lines = [
        "| runs | sick | found | primary cause right, of the found: when first found | at the end | healthy | false alarms | harmless | spoke |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    chosen: tuple[tuple[str, Callable[[Mark], bool]], ...] = (
        ("all", lambda mark: True), ("hard cases", lambda mark: mark.case.hard), ("the others", lambda mark: not mark.case.hard),
    )  # fmt: skip
    for words, wanted in chosen:
        mine = list(filter(wanted, marks))
        ill, well, unharmed = labelled(mine, "sick"), labelled(mine, "healthy"), labelled(mine, "harmless")
        found = [mark for mark in ill if mark.found]
        lines.append(
            f"| {words} | {len(ill)} | {share(len(found), len(ill))} | {_causes(found)} | {len(well)} "
            f"| {_spoke(well)} | {len(unharmed)} | {_spoke(unharmed)} |"
        )
    return "\n".join(lines)


def sick_table(marks: Iterable[Mark]) -> str:
    """A line a family: how many were found, with which primary cause, and how soon."""
    lines = [
        "| family | runs | found | primary right, when first found | at the end | delay, points (median, worst) | missed runs' findings |",
        "|---|---|---|---|---|---|---|",
    ]
    for family, group in by_family(marks).items():
        found = [mark for mark in group if mark.found]
        delays = [mark.delay for mark in found if mark.delay is not None]
        delay = f"{statistics.median(delays):g}, {max(delays)}" if delays else NOTHING
        instead = _count(rule for mark in group if not mark.found for rule in (mark.said or ("nothing",)))
        lines.append(
            f"| {_name(family, group)} | {len(group)} | {share(len(found), len(group))} | {_causes(found)} | {delay} | {instead} |"
        )
    return "\n".join(lines)


def quiet_table(marks: Iterable[Mark], word: str) -> str:
    """A line a family: of how many something was said, and by which rules. Families that are silent stand in the last line."""
    lines = [f"| family | runs | {word} | by |", "|---|---|---|---|"]
    silent: list[Mark] = []
    for family, group in by_family(marks).items():
        if not any(mark.spoke for mark in group):
            silent += group
            continue
        rules = _count(rule for mark in group for rule in mark.said)
        lines.append(f"| {_name(family, group)} | {len(group)} | {_spoke(group)} | {rules} |")
    families = ", ".join(f"{_name(family, group)} {len(group)}" for family, group in by_family(silent).items())
    if silent:
        lines.append(f"| silent: {families} | {len(silent)} | {_spoke(silent)} | {NOTHING} |")
    return "\n".join(lines)


def rule_table(sick: Sequence[Mark], healthy: Sequence[Mark]) -> str:
    """A line a rule that is expected somewhere or spoke somewhere.

    Recall is over the runs for which it is the first of the expected rules; there another right rule may have spoken instead.
    """
    head = (
        "| rule | first expected in | spoke there | found there, by any | right elsewhere | not expected, in sick runs "
        "| false alarms | delay, points: median | worst |"
    )
    lines = [head, "|---|---|---|---|---|---|---|---|---|"]
    rules = {rule for mark in [*sick, *healthy] for rule in (*mark.case.expected[:1], *mark.said)}
    for rule in sorted(rules):
        first = [mark for mark in sick if mark.case.expected[0] == rule]
        right = [mark for mark in sick if rule in mark.right]
        there, any_there = sum(rule in mark.right for mark in first), sum(mark.found for mark in first)
        wrong = sum(rule in mark.said and rule not in mark.right for mark in sick)
        false = sum(rule in mark.said for mark in healthy)
        delays = [mark.said[rule].points for mark in right]
        delay = f"{statistics.median(delays):g} | {max(delays)}" if right else f"{NOTHING} | {NOTHING}"
        lines.append(
            f"| `{rule}` | {len(first)} | {share(there, len(first))} | {share(any_there, len(first))} | {len(right) - there} "
            f"| {wrong} | {share(false, len(healthy))} | {delay} |"
        )
    return "\n".join(lines)


def share(part: int, whole: int) -> str:
    """`3 of 4 (75 %)`, or a dash of nothing."""
    return f"{part} of {whole} ({100 * part / whole:.0f} %)" if whole else NOTHING


def by_family(marks: Iterable[Mark]) -> Mapping[str, list[Mark]]:
    """The marks of each family, in the order of their names."""
    groups: dict[str, list[Mark]] = {}
    for mark in marks:
        groups.setdefault(mark.case.family, []).append(mark)
    return dict(sorted(groups.items()))


def _causes(found: Sequence[Mark]) -> str:
    return f"{share(sum(m.is_right(m.first) for m in found), len(found))} | {share(sum(m.is_right(m.primary) for m in found), len(found))}"


def _spoke(marks: Sequence[Mark]) -> str:
    return share(sum(mark.spoke for mark in marks), len(marks))


def _name(family: str, group: Sequence[Mark]) -> str:
    return f"{family} (hard)" if group[0].case.hard else family


def _count(names: Iterable[str]) -> str:
    counts: dict[str, int] = {}
    for name in names:
        counts[name] = counts.get(name, 0) + 1
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items(), key=lambda pair: -pair[1])) or NOTHING
