"""What kind of terminal a command writes to: whether it takes colours, and how wide it is. No command by itself."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from typing import NamedTuple, TextIO

NARROWEST = 40
"""Columns below which nothing is wrapped any more: a terminal that says less has not been asked."""


class Terminal(NamedTuple):
    """What may be written to a stream."""

    colour: bool
    width: int
    """Columns; 0 where the stream goes to a file or another program, which wants a sentence a line."""


def terminal_of(stream: TextIO, environ: Mapping[str, str] | None = None) -> Terminal:
    """What a stream takes. `NO_COLOR` (see no-color.org) and a dumb terminal take no colours."""
    environ = os.environ if environ is None else environ
    if not stream.isatty():
        return Terminal(False, 0)
    plain = bool(environ.get("NO_COLOR")) or environ.get("TERM") == "dumb"
    columns = shutil.get_terminal_size().columns
    return Terminal(not plain, columns if columns >= NARROWEST else 0)
