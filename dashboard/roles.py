"""What a series is to the rules, by its name: the one place of the server that asks. Names in, roles out.

A perplexity has none here: the rules take its logarithm where no loss is logged, but it must not be drawn, listed or
compared as a loss.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache

from diagnostics.roles import AFTER_ALL, RoleMap
from runwell.metrics import END_OF_TRAINING

LOSSES = ("train_loss", "val_loss")
MEAN_OF_THE_RUN = "train_loss"
"""A name of the training loss; not where Hugging Face has said the end of training, which gives the mean by it."""
_ROLES = RoleMap()


@lru_cache(maxsize=10_000)
def _found(name: str) -> tuple[str, int] | None:
    found = _ROLES.find(name)
    return found if found is not None and found[1] < AFTER_ALL else None


def role_of(name: str) -> str | None:
    """The role of a series by its name, as the rules see it; None for a metric that only its owner knows."""
    found = _found(name)
    return found[0] if found else None


def leading(names: Iterable[str], role: str) -> str | None:
    """Of several names that could be a role the most telling, which the rules take as well; None when there is none."""
    names = list(names)
    ranked = [(found[1], name) for name in names if (found := _found(name)) and found[0] == role]
    if len(ranked) > 1 and END_OF_TRAINING in names:
        ranked = [one for one in ranked if one[1] != MEAN_OF_THE_RUN]
    return min(ranked, key=lambda one: one[0])[1] if ranked else None


def latest_of(latest: Mapping[str, float], role: str) -> float | None:
    """The latest value of the series with this role, whatever its trainer calls it; None when there is none."""
    name = leading(latest, role)
    return None if name is None else latest[name]
