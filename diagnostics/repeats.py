"""Rows that tell the one before them once more, as trainers do that print and log. Pure.

Equal points are no two observations: noise would be taken for half of what it is. Knows roles, and no rule.
"""

from __future__ import annotations

MEASURED = ("train_loss", "val_loss", "grad_norm")
"""Roles whose numbers do not come twice by themselves."""
FEWEST_DIGITS, FEWEST_DECIMALS, MOST = 3, 2, 7
"""How numbers are rounded when they are told again: significant digits from the first, decimals from the second on, to the third."""
MANY_DIGITS = 4
"""What is equal in more digits than these is equal by no chance."""
ROUNDED = 10.0**-FEWEST_DECIMALS / 2
"""By how much (of it, and in itself) a rounded number differs at most."""


class Repeats:
    """Remembers the last row."""

    def __init__(self) -> None:
        self.step, self._last, self._repeated = -1, dict[str, float](), False

    def new_in(self, row: dict[str, float], step: int, told: bool) -> dict[str, float]:
        """What a row has by role that the one before had not told; all of it where it does not repeat that one.

        `told` is whether the row has a step of its own. Then it repeats another at the same step, be it in fewer digits or
        beside more. Where it has none, only if all but the epoch is equal to the last of many digits, and not twice
        running: what stands still is seen all the same. What is not finite, or zero, counts each time.
        """
        if (told and step != self.step) or not self._is_again(row, told):
            self.pass_to(step, row)
            return row
        new = {role: number for role, number in row.items() if role not in self._last}
        self._last = {**self._last, **new}
        self.step, self._repeated = step, True
        return new

    def pass_to(self, step: int, row: dict[str, float]) -> None:
        """Remember a row that repeats none."""
        self.step, self._last, self._repeated = step, row.copy(), False

    def _is_again(self, row: dict[str, float], told: bool) -> bool:
        if any(row[role] - row[role] != 0 or row[role] == 0 for role in MEASURED if role in row):
            return False
        shared = [role for role in row if role in self._last]
        measured = [role for role in MEASURED if role in shared]
        if told:
            return row == self._last or bool(measured and all(agree(row[role], self._last[role]) for role in shared))
        if self._repeated or not measured:
            return False
        equal = all(row[role] == self._last[role] for role in shared if role != "epoch")
        return equal and any(row[role] != _in_digits(row[role], MANY_DIGITS) for role in measured)


def agree(one: float, other: float) -> bool:
    """Whether two finite numbers are the same, or one is the other in fewer digits."""
    if one == other:
        return True
    if abs(one - other) > ROUNDED * (1 + abs(one)):
        return False
    digits, decimals = range(FEWEST_DIGITS, MOST + 1), range(FEWEST_DECIMALS, MOST)
    return any(_in_digits(one, n) == other or _in_digits(other, n) == one for n in digits) or any(
        round(one, n) == other or round(other, n) == one for n in decimals
    )


def _in_digits(number: float, digits: int) -> float:
    return float(f"{number:.{digits}g}")
