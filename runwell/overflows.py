"""What fp16 trainers print when gradients overflow: a line without a step that tells the loss scale. Pure.

Knows what DeepSpeed, apex, fairseq, Megatron and their copies print: `OVERFLOW! Rank 0 Skipping step. Attempted loss scale: 64,
reducing to 32`, `Gradient overflow.  Skipping step, loss scaler 0 reducing loss scale to 32768.0`, `overflow detected, setting
loss scale to: 0.25`; and that Megatron counts such steps in its rows. Knows no step: whoever reads the log does.
"""

from __future__ import annotations

import math
import re

SCALE = "loss_scale"
SKIPPED = "skipped_steps"
"""The steps that were skipped since the log began: a count that only grows, so that none is lost where many have one step."""
SKIPPED_IN_ROW = "skipped iterations"
"""What Megatron calls those since its last row."""

_NUMBER = r"\d+(?:\.\d*)?(?:[eE][-+]?\d+)?"
_OVERFLOW = re.compile(
    rf"overflow\b.{{0,80}}?(?<![a-z])scale(?: [a-z]+)?(?: to)?\s*[:=]?\s*(?P<told>{_NUMBER})"
    rf"(?P<held>, but hysteresis)?(?:(?:, reducing to| ->) (?P<new>{_NUMBER}))?",
    re.IGNORECASE,
)


class Overflows:
    """Those of one log, in order."""

    def __init__(self) -> None:
        self._scale: float | None = None
        self._skipped = 0
        self._since_row = 0
        self._adjacent = False
        """Whether the last line told an overflow as well."""

    def of_line(self, line: str) -> tuple[str, list[dict[str, float]]]:
        """What stands before the overflow that a line tells, and the rows that it means; the line itself where it tells none."""
        match = _OVERFLOW.search(line) if "verflow" in line or "VERFLOW" in line else None
        if match is None:
            self._adjacent = self._adjacent and not line.strip()
            return line, []
        adjacent, self._adjacent = self._adjacent, True
        told = float(match["told"])
        if match["new"] or match["held"]:
            before, after = told, float(match["new"] or told)
        elif adjacent and told == self._scale:
            return line[: match.start()], []  # another rank tells the same
        else:  # who tells the new scale alone halves it
            before, after = 2 * told if self._scale is None or self._scale <= told else self._scale, told
        rows = [] if before == self._scale else [{SCALE: before}]
        self._scale = after
        self._since_row += 1
        return line[: match.start()], [*rows, {SCALE: after, SKIPPED: float(self._skipped + self._since_row)}]

    def with_count(self, numbers: dict[str, float]) -> dict[str, float]:
        """The numbers of another line of the log, with the count of skipped steps where they tell how many there were."""
        self._scale = numbers.get(SCALE, self._scale)
        skipped = numbers.get(SKIPPED_IN_ROW)
        if skipped is None or not math.isfinite(skipped):
            return numbers
        self._skipped += max(int(skipped), self._since_row)  # its overflows may have been told by lines as well
        self._since_row = 0
        others = {name: number for name, number in numbers.items() if name != SKIPPED_IN_ROW}
        return {**others, SKIPPED: float(self._skipped)}
