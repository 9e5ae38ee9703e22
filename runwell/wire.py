"""What travels between a run and the server: batches of events, checked at the border. Pure, standard library only.

An event is a JSON object with a `type` (docs/architecture.md lists them). In memory its numbers are real floats; in JSON
the non-finite ones are the strings "NaN", "Infinity" and "-Infinity". One bad record never costs the batch: it keeps its
place as a `refused` event, so that sequence numbers stay right. This module knows nothing of sockets, files or stores.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from runwell.fields import FIELDS

Event = dict[str, Any]
Refused = tuple[tuple[int, str], ...]
"""(sequence number, reason) of the records of a batch that can never be stored."""

FRAMES_TYPE = "application/vnd.runwell.frames"
REFUSED = "refused"
MAX_STEP = 2**53
MAX_NAME = 250
MAX_NAMES = 10_000
MAX_EVENTS = 200_000
MAX_EVENT_BYTES = 512 * 1024
MAX_DEPTH = 20
MAX_DIGITS = 300
MAX_INTEGER = 10**MAX_DIGITS
RESERVED = frozenset({"type", "step", "time"})
NON_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}

RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
SDK_WRITER = re.compile(r"(w-[0-9a-f]{12})(?:\.([1-9][0-9]*))?")
"""A writer's name that the SDK made up, and no other process ever has; then the number from which on it had to begin anew."""


class WireError(ValueError):
    """What came over the wire, or was about to, is not allowed. The message is one sentence for the user."""


class BadEvent(WireError):
    """One record is not allowed; the rest of its batch is untouched. `reason` is the sentence."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class BadBatch(WireError):
    """A batch cannot be read as a whole."""


class Batch(NamedTuple):
    """Consecutive records of one writer: event *k* has sequence number `first_seq + k` (the first of all is 1).

    A record that was refused keeps its place as `{"type": "refused", "reason": …}`: stores skip it and move on.
    """

    writer: str
    first_seq: int
    events: tuple[Event, ...]

    @property
    def next_seq(self) -> int:
        """The sequence number after the last one in this batch."""
        return self.first_seq + len(self.events)


def check_run_id(run_id: object) -> str:
    """The run id itself, or `WireError` saying what an id may look like."""
    return _check_id(run_id, "run id")


def check_writer(writer: object) -> str:
    """The writer's name itself, or `WireError` saying what it may look like."""
    return _check_id(writer, "writer")


def _check_id(value: object, what: str) -> str:
    if isinstance(value, str) and RUN_ID.fullmatch(value):
        return value
    raise WireError(
        f"{what} {shorten(value)} is not allowed; "
        "it takes 1 to 64 letters, digits, '.', '_' and '-', beginning with a letter or a digit"
    )


def shorten(value: object, limit: int = 60) -> str:
    """`repr` of anything, at most `limit` characters, for messages. Never raises, never long."""
    if isinstance(value, str) and len(value) > limit:
        value = value[:limit] + "…"
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= MAX_INTEGER:
        return f"a number of more than {MAX_DIGITS} digits"
    shown = repr(value) if isinstance(value, str | int | float | None) else f"a {type(value).__name__}"
    return shown if len(shown) <= limit + 4 else shown[:limit] + "…"


# -- numbers and text ----------------------------------------------------------------------------------------------


def decode_number(value: object) -> float:
    """A JSON number, or one of the three strings for non-finite ones, as a float. Raises `BadEvent`."""
    if isinstance(value, float):
        return value
    if isinstance(value, int):
        if abs(value) >= MAX_INTEGER:
            raise BadEvent(f"{shorten(value)} is too large; log Infinity if that is what it is")
        return float(value)
    if isinstance(value, str) and value in NON_FINITE:
        return NON_FINITE[value]
    raise BadEvent(f'{shorten(value)} is not a number; it takes a JSON number, "NaN", "Infinity" or "-Infinity"')


def encode_number(value: float) -> float | str:
    """The number as JSON can carry it: itself when finite, else its string."""
    if math.isfinite(value):
        return value
    return "NaN" if value != value else ("Infinity" if value > 0 else "-Infinity")


def clean_text(text: str) -> str:
    """Text that every store and encoding accepts: lone surrogates and NUL become U+FFFD, the rest is untouched."""
    if text.isascii() and "\0" not in text:
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").replace("\0", "\ufffd")


def dumps(value: object) -> str:
    """Strict JSON on one line, non-finite floats as strings at any depth, always encodable as UTF-8."""
    try:
        text = json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    except ValueError:
        text = json.dumps(_strings_for_non_finite(value), allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def _strings_for_non_finite(value: object) -> object:
    if isinstance(value, float):
        return encode_number(value)
    if isinstance(value, Mapping):
        return {_strings_for_non_finite(key): _strings_for_non_finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_strings_for_non_finite(item) for item in value]
    return value


def loads(data: bytes | str) -> Any:
    """Parse untrusted JSON (bare NaN accepted). Raises `WireError` with one sentence, whatever the bytes are."""
    try:
        return json.loads(data, parse_int=_parse_integer)
    except RecursionError:
        raise WireError(f"the JSON is nested too deep; at most {MAX_DEPTH} levels are allowed") from None
    except UnicodeDecodeError as error:
        raise WireError(f"the JSON is not UTF-8: byte {error.start} cannot be decoded") from None
    except json.JSONDecodeError as error:
        raise WireError(f"the JSON cannot be read: {error.msg} at character {error.pos}") from None


def _parse_integer(digits: str) -> int:
    # int() of thousands of digits is quadratic and then refused by Python itself: the event's own check names it instead
    return int(digits) if len(digits.lstrip("-")) <= MAX_DIGITS else MAX_INTEGER


# -- events --------------------------------------------------------------------------------------------------------


def check_name(name: str) -> str:
    """The metric name itself, or `BadEvent` with what a name may be."""
    if name in RESERVED:
        raise BadEvent(f"{name!r} cannot be a metric name: it is the record's own field")
    if not name or len(name) > MAX_NAME or not name.isprintable():
        raise BadEvent(f"metric name {shorten(name)} is not allowed; it takes 1 to {MAX_NAME} printable characters")
    return name


def check_step(value: object) -> int:
    """The step as a whole number from 0 to 2^53, or `BadEvent`."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_STEP:
        return value
    raise BadEvent(f"step {shorten(value)} is not allowed; it takes a whole number from 0 to 2^53")


def check_time(value: object) -> float:
    """Seconds since 1970 as a finite float, or `BadEvent`."""
    time = decode_number(value)
    if not math.isfinite(time) or abs(time) > 1e12:
        raise BadEvent(f"time {shorten(value)} is not allowed; it takes seconds since 1970")
    return time


def refusal(reason: str) -> Event:
    """The event that stands in the place of a refused one."""
    return {"type": REFUSED, "reason": reason}


def validate_event(value: object) -> Event:
    """A new event dict whose known fields have the right types and whose metrics are real floats.

    Unknown types and fields are kept. Raises `BadEvent` with the field, the value seen and what is allowed.
    """
    if not isinstance(value, dict):
        raise BadEvent(f"a record must be a JSON object, not {shorten(value)}")
    kind = value.get("type")
    if not isinstance(kind, str) or not 0 < len(kind) <= 64 or not kind.isprintable():
        raise BadEvent(f"type {shorten(kind)} is not allowed; a record's type is 1 to 64 printable characters")
    event: Event = {"type": kind}
    if value.get("step") is not None:
        event["step"] = check_step(value["step"])
    if value.get("time") is not None:
        event["time"] = check_time(value["time"])
    if kind == "metrics":
        return _validate_metrics(event, value)
    return _validate_fields(event, value)


def _validate_metrics(event: Event, value: Mapping[str, object]) -> Event:
    if "step" not in event:
        raise BadEvent("a metrics record needs a step, a whole number from 0 to 2^53")
    if len(value) > MAX_NAMES + len(RESERVED):
        raise BadEvent(f"a metrics record of {len(value):,} names is too large; send at most {MAX_NAMES:,} at once")
    for name, number in value.items():
        if name in RESERVED:
            continue
        check_name(name)
        try:
            event[name] = decode_number(number)
        except BadEvent as error:
            raise BadEvent(f"metric {shorten(name)}: {error.reason}") from None
    return event


def _validate_fields(event: Event, value: Mapping[str, object]) -> Event:
    fields = FIELDS.get(event["type"], {})
    budget = [MAX_EVENT_BYTES]
    for name, item in value.items():
        if name in RESERVED:
            continue
        kept = _bounded(item, budget, 1)
        field = fields.get(name)
        if field is not None and kept is not None:
            if field.numeric:
                kept = decode_number(kept)
            if not field.accepts(kept):
                raise BadEvent(f"{event['type']} field {name!r} is {shorten(kept)}; it takes {field.words}")
        event[_bounded(name, budget, 1)] = kept
    missing = [name for name, field in fields.items() if field.required and event.get(name) is None]
    if missing:
        raise BadEvent(f"a {event['type']} record needs the field {missing[0]!r}: {fields[missing[0]].words}")
    return event


def _bounded(value: Any, budget: list[int], depth: int) -> Any:
    """A clean copy of untrusted JSON data; `budget[0]` is the bytes left for the record."""
    if depth > MAX_DEPTH:
        raise BadEvent(f"the record is nested too deep; at most {MAX_DEPTH} levels are allowed")
    # no more than the value's own JSON needs, so that what a writer could write is never refused for its size here
    budget[0] -= 2 + (len(value) if isinstance(value, str) else 0)
    if budget[0] < 0:
        raise BadEvent(f"the record is too large; at most {MAX_EVENT_BYTES // 1024} KiB are allowed")
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, dict):
        return {_bounded(str(key), budget, depth): _bounded(item, budget, depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_bounded(item, budget, depth + 1) for item in value]
    if isinstance(value, int) and abs(value) >= MAX_INTEGER:
        raise BadEvent(f"the record holds {shorten(value)}; shorter ones are allowed")
    return value


def validate_events(values: Iterable[object], first_seq: int) -> tuple[tuple[Event, ...], Refused]:
    """Check a whole batch's records: refused ones keep their place, and are listed by sequence number."""
    events: list[Event] = []
    refused: list[tuple[int, str]] = []
    for seq, value in enumerate(values, first_seq):
        try:
            events.append(validate_event(value))
        except BadEvent as error:
            refused.append((seq, error.reason))
            events.append(refusal(error.reason))
    return tuple(events), tuple(refused)


# -- batches -------------------------------------------------------------------------------------------------------


def decode_json_batch(data: bytes) -> tuple[Batch, Refused]:
    """Read `{"writer", "first_seq", "events"}`. Raises `WireError` only when the batch as a whole cannot be read."""
    value = loads(data)
    if not isinstance(value, dict):
        raise BadBatch('a batch must be a JSON object {"writer": …, "first_seq": …, "events": […]}')
    writer = check_writer(value.get("writer"))
    events = value.get("events")
    if not isinstance(events, list):
        raise BadBatch(f"a batch's events must be a list, not {shorten(events)}")
    if len(events) > MAX_EVENTS:
        raise BadBatch(f"a batch of {len(events):,} records is too large; send at most {MAX_EVENTS:,} at once")
    first_seq = check_seq(value.get("first_seq", None if events else 1))
    checked, refused = validate_events(events, first_seq)
    return Batch(writer, first_seq, checked), refused


def check_seq(value: object) -> int:
    """A sequence number from 1 to 2^53, or `BadBatch`."""
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MAX_STEP:
        return value
    raise BadBatch(f"first_seq {shorten(value)} is not allowed; it takes a whole number from 1 to 2^53")


def encode_json_batch(batch: Batch) -> bytes:
    """The batch as the JSON form of the wire."""
    return dumps({"writer": batch.writer, "first_seq": batch.first_seq, "events": batch.events}).encode()
