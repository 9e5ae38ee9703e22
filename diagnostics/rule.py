"""The declaration of a rule: its id, what it needs to see, how its findings live, and the function that looks.

A rule is one pure function over a view of the run up to now. Its options are its keyword-only arguments, its page is its
docstring. Knows nothing of the engine.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from diagnostics.finding import Severity, Sighting
from diagnostics.remedies import still_to_do

if TYPE_CHECKING:
    from diagnostics.view import RunView

HEADINGS = (
    "What it means",
    "Why it matters",
    "How it is detected",
    "Likely causes",
    "What to do",
    "When it is wrong",
    "Options",
    "Example",
    "References",
)
"""Every rule's docstring has a first line and these headings, in this order."""


LOOKS_AT = {
    "series": "series",
    "samples": "text samples",
    "end": "how the run ended",
    "silence": "the times of events",
    "data": "what the run says of its data",
}
"""What rules are shown, and what people call it: each kind is looked at when there is more of it, and only then."""


class OptionError(ValueError):
    """An option of a rule is unknown or not a number. The message says which options there are."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Life:
    """How findings of a rule open, close and end, counted in looks and in logged points of the series that it judges."""

    open_after_looks: int = 1
    """Consecutive looks that must see it before it opens."""
    close_after_points: int = 10
    """Points without a sighting before it is called over (3 while a run has fewer than 50 points); twice as many
    each time that it came back (where returns are counted: from `recurring_after` on)."""
    close_after_share: float = 0.0
    """The same as a share of all points so far, times the occurrence: for illnesses that are judged over a share of the
    history, which else would open and close again and again."""
    resolved: Severity | None = Severity.INFO
    """Severity once it is over; None: it never resolves, what happened has happened."""
    farewell: str = "over after {steps} steps"
    """What its title says at the end once it is over; begins with "over"."""
    recurring_after: int | None = None
    """From this many occurrences on it is a warning and stays one even when it is over; None: never."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Rule:
    """One illness that the engine can recognise."""

    id: str
    needs: tuple[tuple[str, ...], ...]
    """Roles without which it is blind; each entry lists alternatives, one of which is enough."""
    helps: tuple[str, ...] = ()
    """Roles that make it surer."""
    blind: str
    """What cannot be seen without the needs, for the sentence "no …: <blind>; log …"."""
    looks_at: str = "series"
    """One of `LOOKS_AT`. Lives of rules on samples are counted in rounds of samples, of rules on the end in ends."""
    measured: bool = False
    """Whether it looks only at samples whose copies from the training text were measured."""
    clock: str = "train_loss"
    """The role whose points count the life of its findings."""
    severity: Severity
    """The usual severity, for lists."""
    life: Life = field(default_factory=Life)
    look: Callable[..., Sighting | None]

    @property
    def page(self) -> str:
        """The whole docstring, as Markdown-like text."""
        return inspect.cleandoc(self.look.__doc__ or "")

    @property
    def summary(self) -> str:
        """The first line of the page."""
        return self.page.splitlines()[0] if self.page else ""

    @property
    def options(self) -> dict[str, Any]:
        """Options and their defaults."""
        parameters = inspect.signature(self.look).parameters.values()
        return {p.name: p.default for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY}

    def checked_options(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """The given options, or `OptionError` saying what is allowed."""
        known = self.options
        for name, value in given.items():
            if name not in known:
                raise OptionError(f"{self.id} has no option {name!r}; it has: {', '.join(known) or 'none'}")
            if isinstance(value, bool) or not isinstance(value, (int, float)) or value != value:
                raise OptionError(f"{self.id}: {name} = {value!r} is not a number; the default is {known[name]!r}")
        return dict(given)

    def sections(self) -> dict[str, str]:
        """The page's text by heading."""
        found: dict[str, list[str]] = {}
        heading = ""
        for line in self.page.splitlines()[1:]:
            match = re.fullmatch(r"## (.+)", line)
            if match:
                heading = match.group(1)
                found[heading] = []
            elif heading:
                found[heading].append(line)
        return {name: "\n".join(lines).strip() for name, lines in found.items()}

    def sight(self, view: RunView, options: Mapping[str, Any]) -> Sighting | None:
        """Look at the run up to now. Pure. What it advises leaves something to do."""
        found = self.look(view, **options)
        if found is None or (left := still_to_do(found.remedies, view.facts)) == found.remedies:
            return found
        return replace(found, remedies=left)


def rule(rule_id: str, **declaration: Any) -> Callable[[Callable[..., Sighting | None]], Rule]:
    """Declare the decorated function as a rule; keyword arguments are the fields of `Rule`."""

    def declare(function: Callable[..., Sighting | None]) -> Rule:
        return Rule(id=rule_id, look=function, **declaration)

    return declare
