"""The JSON texts that lie in the database. Bare NaN and Infinity are kept: only Python's reader reads them back.

Text is escaped to ASCII, so that any character, lone surrogates and NUL included, fits every database.
"""

from __future__ import annotations

import json
from typing import Any


def pack(value: Any) -> str:
    """Any JSON value, or what looks like one, as a text."""
    return json.dumps(value, separators=(",", ":"), default=str)


def unpack(text: str) -> Any:
    """The value that `pack` packed."""
    return json.loads(text)
