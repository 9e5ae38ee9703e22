"""The bars that the engine has to clear, and whether it does: recall, false alarms, primary cause, delays. Pure: marks in."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from benchmarks.zoo.judging import NON_FINITE, Mark, Word
from benchmarks.zoo.tables import NOTHING, by_family, labelled, share

RECALL, FAMILY_RECALL, CAUSE, ALARMS = 0.97, 0.90, 0.90, 0.01
DELAYS: tuple[tuple[str, tuple[str, ...], str, float, Callable[[Word], float]], ...] = (
    ("non-finite: at once", NON_FINITE[:2], "points", 1, lambda word: word.points),
    ("masked non-finite", NON_FINITE[2:], "points", 5, lambda word: word.points),
    ("divergence, spike", ("divergence", "loss-spike"), "points", 30, lambda word: word.points),
    ("overfitting, after the validation minimum", ("overfitting",), "evaluations", 4, lambda word: word.evaluations),
    ("not decreasing", ("loss-not-decreasing", "learning-rate-too-low"), "% of the plan", 10, lambda word: 100 * word.share),
)  # fmt: skip
"""Name, rules, unit, bar, and where it is read. A run counts once, with the first of the rules that was right."""


def bars(marks: Sequence[Mark]) -> str:
    """A line a bar: what is asked, what is reached, and which runs or families fall short."""
    sick, healthy = labelled(marks, "sick"), labelled(marks, "healthy")
    found = [mark for mark in sick if mark.found]
    alarmed = [mark for mark in healthy if mark.spoke]
    late = [mark for mark in marks if mark.case.onset > 0]
    early = [mark for mark in late if mark.early]
    families = {family: sum(m.found for m in group) / len(group) for family, group in by_family(sick).items()}
    short = [family for family, recall in families.items() if recall < FAMILY_RECALL]
    causes = sum(mark.is_right(mark.primary) for mark in found)
    lines = ["| bar | asked | reached | met | falls short |", "|---|---|---|---|---|"]
    lines += [
        _line("recall", f"≥ {RECALL:.0%}", share(len(found), len(sick)), len(found) >= RECALL * len(sick), ""),
        _line("every family's recall", f"≥ {FAMILY_RECALL:.0%}", share(len(families) - len(short), len(families)), not short, ", ".join(short)),
        _line("false alarms", f"≤ {ALARMS:.0%}", share(len(alarmed), len(healthy)), len(alarmed) <= ALARMS * len(healthy), _names(alarmed)),
        _line("false alarms before a late illness began", "none", share(len(early), len(late)), not early, _names(early)),
        _line("primary cause right, of the found", f"≥ {CAUSE:.0%}", share(causes, len(found)), causes >= CAUSE * len(found),
              _names(mark for mark in found if not mark.is_right(mark.primary))),
    ]  # fmt: skip
    for name, rules, unit, limit, read in DELAYS:
        delays = [(m, read(m.said[next(r for r in m.right if r in rules)])) for m in _first_by(found, rules)]
        slow = [mark for mark, delay in delays if delay > limit]
        worst = f", worst {max(delay for _, delay in delays):.3g}" if delays else ""
        reached = share(len(delays) - len(slow), len(delays)) + worst
        lines.append(_line(f"delay: {name}", f"≤ {limit:g} {unit}", reached, not slow, _names(slow)))
    return "\n".join(lines)


def _first_by(found: Iterable[Mark], rules: Sequence[str]) -> list[Mark]:
    """The runs whose likeliest illness is one of the rules', and that one of these rules found."""
    return [mark for mark in found if mark.case.expected[0] in rules and any(rule in rules for rule in mark.right)]


def _line(name: str, asked: str, reached: str, met: bool, short: str) -> str:
    return f"| {name} | {asked} | {reached} | {'yes' if met else 'no'} | {short or NOTHING} |"


def _names(marks: Iterable[Mark]) -> str:
    names = [mark.case.name for mark in marks]
    more = f" and {len(names) - 12} more" if len(names) > 12 else ""
    return ", ".join(names[:12]) + more
