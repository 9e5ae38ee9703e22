"""Turns what people pass to `log()` and `config=` into numbers and plain JSON data. Pure; imports no framework.

Tensors and arrays are recognised by what they can do (`item`), so that neither torch nor numpy is ever loaded here.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from runwell.wire import MAX_INTEGER, clean_text, shorten

Refuse = Callable[[str, str], None]
"""(metric name, why its value is not taken)."""

MAX_NESTING = 12
MAX_REPR = 500
HIDDEN = "[hidden]"
SECRET_WORDS = (
    "token",
    "secret",
    "password",
    "passwd",
    "passphrase",
    "apikey",
    "authorization",
    "credential",
    "credentials",
)
TEXT_TOKENS = frozenset({"pad", "eos", "bos", "unk", "mask", "cls", "sep", "image", "special", "end", "start", "stop"})
"""`eos_token` and its like are part of a tokenizer, not secrets."""
USER_IN_URL = re.compile(r"(?<=://)[^/\s:@]+:[^/\s@]+(?=@)")


def to_number(value: Any) -> float:
    """One number from an int, float, bool, numpy scalar, 0-d array, tensor of one element or anything with `__float__`.

    Raises `TypeError` or `ValueError` whose message says what was seen. NaN and ±Inf pass.
    """
    if isinstance(value, float):
        return float(value)
    if value is None or isinstance(value, str | bytes | complex):
        raise TypeError(f"is {shorten(value)}, not a number")
    if hasattr(value, "item"):
        size = getattr(value, "size", 1)
        count = size if isinstance(size, int) else math.prod(getattr(value, "shape", ()))
        if count != 1:
            raise TypeError(f"has {count} elements, not one; log its mean, or one name for each")
        value = value.item()
        if isinstance(value, complex):
            raise TypeError("is a complex number; log its real and imaginary part")
    if not hasattr(value, "__float__") and not hasattr(value, "__index__"):
        raise TypeError(f"is {shorten(value)}, not a number")
    try:
        return float(value)
    except OverflowError:
        raise ValueError(f"is {shorten(value)}, too large for a number") from None


def flatten(values: Mapping[Any, Any], refuse: Refuse, read: Callable[[Any], Any] = to_number) -> dict[str, Any]:
    """Names to numbers, nested mappings joined with "/". What is no number is told to `refuse` and left out.

    `read` makes a number of a value; it raises as `to_number` does.
    """
    flat: dict[str, Any] = {}
    _flatten(values, "", flat, refuse, read, 0)
    return flat


def _flatten(
    values: Mapping[Any, Any], prefix: str, flat: dict[str, Any], refuse: Refuse, read: Callable[[Any], Any], depth: int
) -> None:
    for key, value in values.items():
        name = prefix + (key if isinstance(key, str) else show(key))
        if isinstance(value, Mapping):
            if depth >= MAX_NESTING:
                refuse(name, "is nested too deep")
            else:
                _flatten(value, name + "/", flat, refuse, read, depth + 1)
            continue
        try:
            flat[name] = read(value)
        except Exception as error:
            refuse(name, str(error) if isinstance(error, TypeError | ValueError) else f"cannot be read ({error!r})")


def show(value: Any) -> str:
    """`str` of anything, clean, and in words where it has none. Never raises."""
    try:
        return clean_text(str(value))
    except Exception as error:
        return f"a {type(value).__name__} that cannot be shown ({type(error).__name__})"


def to_json(value: Any, depth: int = 0) -> Any:
    """Plain JSON data of anything: mappings, sequences, numbers and texts as they are, the rest by `repr`, never raising.

    Secrets are hidden: values whose key speaks of a token, secret, password, API key or authorization, and passwords
    inside addresses.
    """
    if value is None or isinstance(value, bool | float):
        return value
    if isinstance(value, str):
        return USER_IN_URL.sub(HIDDEN, clean_text(value))
    if isinstance(value, int):
        return int(value) if abs(value) < MAX_INTEGER else shorten(value)
    try:
        return _container(value, depth)
    except Exception as error:
        return f"a {type(value).__name__} that cannot be shown ({type(error).__name__})"


def _container(value: Any, depth: int) -> Any:
    if depth > MAX_NESTING:
        return _described(value)
    if isinstance(value, Mapping):
        return {(name := show(key)): _shown(name, item, depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [to_json(item, depth + 1) for item in value]
    if hasattr(type(value), "__dataclass_fields__"):
        names = type(value).__dataclass_fields__
        return {name: _shown(name, getattr(value, name, None), depth + 1) for name in names}
    if type(value).__name__ == "Namespace" and hasattr(value, "__dict__"):
        return _container(vars(value), depth)
    if hasattr(value, "item") and hasattr(value, "dtype") and math.prod(getattr(value, "shape", (2,))) == 1:
        return to_json(value.item(), depth + 1)
    return _described(value)


def _shown(key: str, value: Any, depth: int) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return to_json(value, depth)  # `max_tokens = 128` is no secret
    return HIDDEN if is_secret(key) else to_json(value, depth)


def is_secret(key: str) -> bool:
    """Whether a setting's name says that its value must not be shown: `hf_token`, `API-KEY`, `dbPassword`."""
    words = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", key)
    words = [word.lower() for word in words]
    squashed = "".join(words)
    if "token" in words and TEXT_TOKENS & set(words):
        return False
    return any(word in words or squashed.endswith(word) for word in SECRET_WORDS) or any(
        word in squashed for word in ("secret", "password", "apikey", "accesskey", "privatekey", "authorization")
    )


def _described(value: Any) -> str:
    shown = USER_IN_URL.sub(HIDDEN, clean_text(repr(value)))
    return shown if len(shown) <= MAX_REPR else shown[:MAX_REPR] + "…"


def whole(step: Any) -> Any:
    """A plain int of anything that stands for one (numpy integers, 12.0); otherwise the thing itself, to be named."""
    if isinstance(step, bool):
        return shorten(step)
    if isinstance(step, float):
        return step
    item = step.item() if hasattr(step, "item") else step
    return item.__index__() if hasattr(item, "__index__") else item
