"""The state that stands in a page's address: read with bounds, so that a hand-written address cannot break a page. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import parse_qs

Query = Mapping[str, str]


def parse(search: str) -> dict[str, str]:
    """`?a=1&b=2` as a mapping; of a repeated name the last counts."""
    pairs = parse_qs(search.lstrip("?")[:4000], keep_blank_values=False, max_num_fields=None)
    return {name: values[-1] for name, values in pairs.items()}


def choice(query: Query, name: str, allowed: Sequence[str], default: str) -> str:
    """The value if it is one of `allowed`, else `default`."""
    value = query.get(name, default)
    return value if value in allowed else default


def flag(query: Query, name: str) -> bool:
    """Whether the address says `name=1`."""
    return query.get(name) == "1"


def whole(query: Query, name: str, low: int, high: int, default: int) -> int:
    """A whole number inside the bounds, else `default`."""
    text = query.get(name, "")
    return min(max(int(text), low), high) if text.isascii() and text.isdigit() and len(text) < 12 else default
