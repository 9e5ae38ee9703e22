"""Which series is the training loss and which the validation loss, for a run's summary row. Names in, roles out."""

from __future__ import annotations

from functools import lru_cache

from runwell.metrics import BY_NAME


@lru_cache(maxsize=10_000)
def role_of(name: str) -> str | None:
    """The role of a series by its name, or None."""
    metric = BY_NAME.get(name)
    return metric.role if metric else None
