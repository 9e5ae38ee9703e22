"""What people pass to `log()` and `config=`: numbers of every make, secrets hidden, nothing that raises."""

from __future__ import annotations

import argparse
import dataclasses
import decimal
import fractions
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runwell.values import HIDDEN, flatten, is_secret, to_json, to_number
from runwell.wire import dumps


class Tensor:
    """What a tensor looks like from outside."""

    def __init__(self, value: Any, shape: tuple[int, ...] = ()) -> None:
        self.value, self.shape = value, shape

    def size(self) -> tuple[int, ...]:
        return self.shape

    def item(self) -> Any:
        return self.value


GOOD = [
    (1, 1.0), (True, 1.0), (2.5, 2.5), (np.float32(0.5), 0.5), (np.float16(0.5), 0.5), (np.int64(7), 7.0), (np.bool_(True), 1.0),
    (np.array(3.0), 3.0), (np.array([3.0]), 3.0), (np.array([[4]]), 4.0), (Tensor(1.5), 1.5), (Tensor(1.5, (1, 1)), 1.5),
    (decimal.Decimal("0.25"), 0.25), (fractions.Fraction(1, 4), 0.25), (math.inf, math.inf), (np.float32("-inf"), -math.inf),
]  # fmt: skip


@pytest.mark.parametrize(("value", "number"), GOOD, ids=range(len(GOOD)))
def test_numbers_of_every_make(value: Any, number: float) -> None:
    assert to_number(value) == number
    assert type(to_number(value)) is float


@pytest.mark.parametrize(
    "value", [math.nan, np.float32("nan"), np.array(math.nan), Tensor(math.nan), decimal.Decimal("NaN")]
)
def test_nan_of_every_make(value: Any) -> None:
    assert math.isnan(to_number(value))


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (None, "is None, not a number"),
        ("0.5", "is '0.5', not a number"),
        (b"x", "is a bytes, not a number"),
        (1j, "is a complex, not a number"),
        (np.complex64(1j), "is a complex number"),
        ([1.0], "is a list, not a number"),
        (np.arange(3), "has 3 elements, not one"),
        (np.array([]), "has 0 elements, not one"),
        (Tensor(0, (2, 3)), "has 6 elements, not one"),
        (object(), "is a object, not a number"),
        (10**400, "too large"),
    ],
)
def test_what_is_no_number_is_named(value: Any, why: str) -> None:
    with pytest.raises((TypeError, ValueError), match=why):
        to_number(value)


def test_nested_mappings_are_joined() -> None:
    told: list[tuple[str, str]] = []
    flat = flatten({"a": {"b": 1, "c": {"d": 2.0}}, 3: 4, "x": None}, lambda name, why: told.append((name, why)))
    assert flat == {"a/b": 1.0, "a/c/d": 2.0, "3": 4.0}
    assert told == [("x", "is None, not a number")]


def test_nesting_without_end_is_refused() -> None:
    endless: dict[str, Any] = {}
    endless["a"] = endless
    told: list[str] = []
    assert flatten(endless, lambda name, why: told.append(why)) == {}
    assert told == ["is nested too deep"]


SECRET = ["hf_token", "HF_TOKEN", "apiKey", "api_key", "API-KEY", "db_password", "dbPassword", "client_secret", "Authorization",
          "accesstoken", "access_key", "aws_secret_access_key", "wandb.api_key", "credentials", "token"]  # fmt: skip
PLAIN = [
    "max_tokens",
    "tokens",
    "tokenizer",
    "sample_tokens",
    "tokens_per_step",
    "eos_token",
    "pad_token",
    "key",
    "author",
    "n_head",
]


@pytest.mark.parametrize("key", SECRET)
def test_secrets_are_hidden(key: str) -> None:
    assert is_secret(key)
    shown = to_json({"outer": [{key: "s3cr3t", "more": {key: ["s3cr3t"]}}]})
    assert "s3cr3t" not in json.dumps(shown)
    assert shown["outer"][0][key] == HIDDEN


@pytest.mark.parametrize("key", PLAIN)
def test_settings_that_only_sound_like_secrets_are_shown(key: str) -> None:
    assert to_json({key: "bpe"}) == {key: "bpe"}


def test_passwords_in_addresses_are_hidden() -> None:
    assert to_json({"db": "postgres://me:s3cr3t@host/x"}) == {"db": f"postgres://{HIDDEN}@host/x"}
    assert to_json({"max_token": 128}) == {"max_token": 128}, "a number is no secret"


def test_config_values_of_every_make() -> None:
    @dataclasses.dataclass
    class Config:
        lr: float
        password: str

    class Odd:
        def __repr__(self) -> str:
            raise RuntimeError("no")

    shown = to_json(
        {
            "path": Path("/x"), "tuple": (1, 2), "set": {3}, "np": np.float32(0.5), "nan": math.nan, "big": 10**400, 5: "key",
            "args": argparse.Namespace(lr=1), "data": Config(0.1, "s3cr3t"), "odd": Odd(), "type": int, "text": "a\0\ud800",
            "long": object.__new__(type("Long", (), {"__repr__": lambda self: "x" * 5000})),
        }
    )  # fmt: skip
    assert shown["tuple"] == [1, 2] and shown["set"] == [3] and shown["np"] == 0.5 and math.isnan(shown["nan"])
    assert shown["args"] == {"lr": 1} and shown["data"] == {"lr": 0.1, "password": HIDDEN}
    assert "Path" in shown["path"] or "/x" in shown["path"]
    assert shown["odd"] == "a Odd that cannot be shown (RuntimeError)"
    assert shown["big"] == "a number of more than 300 digits" and shown["5"] == "key"
    assert len(shown["long"]) == 501 and shown["text"] == "a\ufffd\ufffd"
    json.loads(dumps(shown))


def test_a_config_that_contains_itself_ends() -> None:
    endless: dict[str, Any] = {}
    endless["a"] = [endless]
    json.loads(dumps(to_json(endless)))


@given(
    st.recursive(
        st.none() | st.floats() | st.text() | st.binary(),
        lambda i: st.lists(i) | st.dictionaries(st.integers() | st.text(), i),
    )
)
def test_any_config_becomes_json(value: Any) -> None:
    json.loads(dumps(to_json(value)))
