"""How the SDK speaks to the person who trains: each cause once, in a sentence that says what happens next.

It goes through the logger `runwell` (standard error unless configured otherwise), not through `warnings`, because
`python -W error` must not turn a hiccup of the logging into the end of a training run.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

LOGGER = logging.getLogger("runwell")
MAX_CAUSES = 1000
MAX_CAUSE = 300

Warn = Callable[[str, str], None]
"""(cause, sentence): says the sentence unless that cause was spoken of before."""


class Notices:
    """Says each cause once."""

    def __init__(self) -> None:
        self._said: set[str] = set()

    def __call__(self, cause: str, sentence: str) -> None:
        """Say the sentence, once for each cause; past 1,000 causes nothing more is said."""
        cause = cause[:MAX_CAUSE]  # it may hold what somebody logged, a megabyte long
        if cause not in self._said and len(self._said) < MAX_CAUSES:
            self._said.add(cause)
            LOGGER.warning("runwell: %s", sentence)
