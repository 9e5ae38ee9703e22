"""Columns come back bit by bit, and damaged ones are said to be damaged."""

from __future__ import annotations

import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard.errors import CorruptStore
from dashboard.store import packing

INTEGERS = st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=50)
FLOATS = st.lists(st.floats(), min_size=1, max_size=50)


@given(INTEGERS)
def test_integers_come_back(values: list[int]) -> None:
    packed = packing.pack_integers(np.array(values, np.int64))
    assert packing.unpack_integers(packed, len(values)).tolist() == values


@given(FLOATS)
def test_times_come_back_bit_by_bit(values: list[float]) -> None:
    times = np.array(values, np.float64)
    assert packing.unpack_times(packing.pack_times(times), len(values)).tobytes() == times.tobytes()


@given(st.one_of(FLOATS, st.lists(st.floats(width=32), min_size=1, max_size=50)))
def test_values_come_back_with_nan_and_infinities(values: list[float]) -> None:
    column = np.array(values, np.float64)
    found = packing.unpack_values(packing.pack_values(column[:, None])[0], len(values))
    assert np.array_equal(found, column, equal_nan=True)
    assert np.array_equal(np.signbit(found[found == 0]), np.signbit(column[column == 0]))


def test_what_fits_into_float32_takes_four_bytes() -> None:
    column = np.array([1.5, np.nan, np.inf, -np.inf, -0.0, np.float32(0.1)])
    assert len(packing.pack_values(column[:, None])[0]) == 4 * len(column)
    assert [len(packed) for packed in packing.pack_values(np.array([[0.1, 1e300, 0.5]]))] == [8, 8, 4]


@given(FLOATS)
def test_numbers_come_back_one_by_one(values: list[float]) -> None:
    found = [packing.unpack_number(packed) for packed in packing.pack_numbers(np.array(values))]
    assert np.array(found).tobytes() == np.array(values).tobytes()


def test_regular_steps_and_times_cost_next_to_nothing() -> None:
    steps = np.arange(4096) * 10
    times = 1.7e9 + np.arange(4096) * 0.25
    assert len(packing.pack_integers(steps)) < 200
    assert len(packing.pack_times(times)) < 400


@given(st.integers(-(2**63), 2**63 - 1), st.integers(-(2**63), 2**63 - 1), st.integers(1, 40))
def test_regular_integers_come_back(start: int, stride: int, count: int) -> None:
    values = np.array([(start + stride * k + 2**63) % 2**64 - 2**63 for k in range(count)], np.int64)
    packed = packing.pack_integers(values)
    assert np.array_equal(packing.unpack_integers(packed, count), values)
    assert count == 1 or len(packed) == 17


DAMAGED = [
    b"", b"z", b"q1234567890123456", b"r123", b"znot zlib", b"z" + zlib.compress(b"short"),
    b"z" + zlib.compress(bytes(8 * 4)), b"z" + zlib.compress(bytes(50_000_000)),
]  # fmt: skip


@pytest.mark.parametrize("blob", DAMAGED, ids=range(len(DAMAGED)))
def test_damaged_integers_are_said_to_be(blob: bytes) -> None:
    with pytest.raises(CorruptStore, match="backup"):
        packing.unpack_integers(blob, 3)


def test_damaged_values_are_said_to_be() -> None:
    with pytest.raises(CorruptStore, match="13 bytes"):
        packing.unpack_values(bytes(13), 3)
