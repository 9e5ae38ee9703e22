"""What a run says of its training data, as far as it says it: the fields of a `data` event that rules judge. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

MAX_TEXT = 200
"""Characters of the most repeated passage that are kept."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DataFacts:
    """The numbers that were sent; None for those that were not. Shares are 0 to 1."""

    step: int
    """From which step on this is what is trained on."""
    documents: float | None = None
    characters: float | None = None
    empty: float | None = None
    """Documents without a word."""
    short: float | None = None
    """Documents under 50 characters."""
    duplicates: float | None = None
    near_duplicates: float | None = None
    """Documents that are, or nearly are, copies of an earlier one."""
    unreadable: float | None = None
    """Share of the characters that stand for nothing."""
    train_tokens: float | None = None
    val_tokens: float | None = None
    planned_tokens: float | None = None
    """Tokens that the whole run is going to train on."""
    parameters: float | None = None
    distinct: float | None = None
    """Share of the training tokens that would be left if everything stood there once."""
    repeated: float | None = None
    """Share of the training tokens that stand at another place too."""
    most_places: float | None = None
    """At how many places the passage stands that is repeated most."""
    overlap: float | None = None
    """Share of the validation part that stands in the training part, boilerplate left out."""
    unigram_entropy: float | None = None
    """Nats a token that a model loses which knows how often each token occurs, and no more."""
    most_text: str = ""
    characters_shares: Mapping[str, float] = field(default_factory=dict)
    """The commonest characters of the training text, each with its share of all."""

    def share_of_documents(self, count: float | None) -> float:
        """A count as a share of the documents; 0 where either is not known."""
        return count / self.documents if count and self.documents else 0.0

    @property
    def different_tokens(self) -> float | None:
        """Training tokens, copies counted once."""
        if self.train_tokens is None:
            return None
        return self.train_tokens * (self.distinct if self.distinct is not None else 1.0)

    @property
    def passes(self) -> float | None:
        """How often the plan goes over every different token."""
        if not self.different_tokens or self.planned_tokens is None:
            return None
        return self.planned_tokens / self.different_tokens


def read_data(event: Mapping[str, Any], step: int, number: Callable[[object], float | None]) -> DataFacts:
    """The facts of a `data` event; what makes no sense is None. `number` reads numbers as the engine does."""
    told = {
        fact.name: value
        for fact in fields(DataFacts)
        if fact.name not in ("step", "most_text", "characters_shares")
        and (value := number(event.get(fact.name))) is not None
        and math.isfinite(value)
        and value >= 0
    }
    text = event.get("most_text")
    passage = text[:MAX_TEXT] if isinstance(text, str) else ""
    return DataFacts(step=step, most_text=passage, characters_shares=_shares(event, number), **told)


def _shares(event: Mapping[str, Any], number: Callable[[object], float | None]) -> dict[str, float]:
    """Characters and their shares, told as one text and one list of equal length; nothing where they do not match."""
    characters, shares = event.get("common_characters"), event.get("common_shares")
    if not isinstance(characters, str) or not isinstance(shares, (list, tuple)) or len(shares) != len(characters):
        return {}
    found = [number(share) for share in shares[:MAX_TEXT]]
    return {char: share for char, share in zip(characters, found, strict=False) if share is not None and 0 < share <= 1}
