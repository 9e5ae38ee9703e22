"""What a run says of itself as it begins, of whatever a script gives. Knows no spool."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from typing import Any

from runwell.process import started_at
from runwell.values import show, to_json
from runwell.wire import MAX_EVENT_BYTES, Event, dumps

MAX_TAGS = 100
MAX_RUN_EVENT = MAX_EVENT_BYTES // 2
"""Bytes of the record that introduces a run; it also lies in `writer.json` and may be sent again."""


def begin_event(about: Mapping[str, Any], warn: Callable[[str, str], object]) -> Event:
    """The record that introduces the run of this process. `warn` hears what had to be left out of it."""
    event = {"type": "run", "time": time.time(), **about, "host": socket.gethostname(), "pid": os.getpid()}
    began = started_at()
    if began is not None:
        event["pid_started_at"] = began
    size = len(dumps(event).encode())
    if size > MAX_RUN_EVENT:
        warn("config", f"the config of {size:,} bytes is too large ({MAX_RUN_EVENT:,} allowed): only its keys are kept")
        config = event.get("config")
        keys = sorted(config)[:1000] if isinstance(config, dict) else []
        event["config"] = {"keys": [key[:100] for key in keys]}
    return event


def describe(project: str, name: str | None, config: Any, tags: Iterable[str]) -> dict[str, Any]:
    """What the run says about itself, as plain JSON data with secrets hidden."""
    about: dict[str, Any] = {"project": show(project)[:200], "tags": _tags(tags)}
    if name is not None and name != "":
        about["name"] = show(name)[:200]
    if config is not None:
        plain = to_json(config)
        about["config"] = plain if isinstance(plain, dict) else {"config": plain}
    return about


def _tags(tags: Any) -> list[str]:
    """Texts of whatever was given: one text is one tag."""
    try:
        given = [tags] if isinstance(tags, str | bytes) else list(islice(tags, MAX_TAGS))
    except Exception:  # no list of anything: it is shown as the one tag that it is
        given = [] if tags is None else [tags]
    return [show(tag)[:200] for tag in given]
