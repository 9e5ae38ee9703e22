"""Whole numbers of flags: a wrong one is told with what is allowed. Knows no command."""

from __future__ import annotations

import argparse
from collections.abc import Callable


def whole(low: int = 0, high: int = 10**9) -> Callable[[str], int]:
    """A `type` for argparse: a whole number from `low` to `high`."""

    def read(text: str) -> int:
        number = int(text) if text.isascii() and text.isdigit() and len(text) < 20 else -1
        if not low <= number <= high:
            raise argparse.ArgumentTypeError(f"{text!r} is not allowed; it takes a whole number from {low} to {high}")
        return number

    return read
