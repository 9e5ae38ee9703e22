"""Tables of other shapes than one row a step and one column a series: told by their headers, turned into that. Pure.

Knows lists side by side (`{"loss": [3.2, 2.9], "val_loss": [...]}`), tables with one number a row (`step,metric,value`), and
what Weights & Biases exports (`Step, "my-run - train/loss", "my-run - train/loss__MIN", …`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

FEWEST = 3
"""Numbers that a list must hold to be a curve."""

PLACES = ("history", "metrics", "logs", "results", "log", "curves")
"""Under which a document may keep its lists."""

SERIES_COLUMNS = ("metric", "tag", "series", "key", "variable", "metric_name", "name")
TAG = re.compile(r"tag[-_](.+?)(?:\.csv)?(?:\.gz)?$", re.IGNORECASE)
"""TensorBoard names the file that it exports after run and tag; inside, the column is called `Value`."""

EXPORTED = re.compile(r"(?P<run>.+?) - (?P<series>.+?)(?P<extreme>__MIN|__MAX)?")


def rows_of_lists(value: Mapping[str, Any], depth: int = 0) -> list[dict[str, Any]]:
    """The rows of an object that holds curves as lists of equal length; empty when it holds none, or no loss among them."""
    lists = {name: item for name, item in value.items() if _is_curve(item)}
    if not any("loss" in name.lower() or "ppl" in name.lower() or "perplexity" in name.lower() for name in lists):
        inner = (value[name] for name in PLACES if isinstance(value.get(name), dict)) if depth == 0 else ()
        return next((rows for item in inner if (rows := rows_of_lists(item, 1))), [])
    length = max(len(item) for name, item in lists.items() if "loss" in name.lower() or len(lists) == 1)
    kept = {name: item for name, item in lists.items() if len(item) == length}
    return [{name: item[at] for name, item in kept.items()} for at in range(length)]


def _is_curve(item: Any) -> bool:
    return (
        isinstance(item, list)
        and len(item) >= FEWEST
        and all(cell is None or (isinstance(cell, int | float) and not isinstance(cell, bool)) for cell in item)
    )


def named(row: dict[str, Any]) -> dict[str, Any]:
    """A row that has its series' name under one key and the number under `value`, with the number under that name."""
    column = next((name for name in SERIES_COLUMNS if isinstance(row.get(name), str) and row[name]), "")
    if not column or isinstance(row.get("value"), dict | list):
        return row
    return {name: item for name, item in row.items() if name not in (column, "value")} | {row[column]: row["value"]}


class Melted:
    """The two columns of a table that has a series' name in one and its number in the other."""

    def __init__(self, header: Sequence[str]) -> None:
        lower = [name.lower() for name in header]
        self.value = lower.index("value") if "value" in lower else -1
        self.name = next((lower.index(name) for name in SERIES_COLUMNS if name in lower), -1)

    def __bool__(self) -> bool:
        return self.value >= 0 and self.name >= 0

    def spread(self, header: Sequence[str], cells: Sequence[str]) -> tuple[list[str], list[str]]:
        """Header and cells of the same row with the number in a column of its own."""
        if max(self.value, self.name) >= len(cells):
            return list(header), list(cells)
        kept = [at for at in range(min(len(header), len(cells))) if at not in (self.value, self.name)]
        return [*(header[at] for at in kept), cells[self.name].strip()], [
            *(cells[at] for at in kept),
            cells[self.value],
        ]


def renamed(header: Sequence[str], file: str) -> list[str]:
    """A header with the names that its series have: without a run's name before them; what is to be left out is empty."""
    found = [EXPORTED.fullmatch(name) for name in header]
    runs = {match["run"] for match in found if match}
    if len(runs) == 1 and all(match or name.lower() in ("step", "_step", "epoch", "") for match, name in zip(found, header, strict=True)):  # fmt: skip
        return [name if match is None else "" if match["extreme"] else match["series"] for match, name in zip(found, header, strict=True)]  # fmt: skip
    tag = TAG.search(file)
    return [tag[1] if tag and name == "Value" else name for name in header]


def runs_exported(header: Sequence[str]) -> list[str]:
    """The names of the runs of which a Weights & Biases export holds a column, in order."""
    found = (EXPORTED.fullmatch(name) for name in header)
    return list(dict.fromkeys(match["run"] for match in found if match))
