"""Copies of training text: the longest is found at any place and length, and never one that is not there."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.verbatim import WINDOW, Copy, CopyFinder

RNG = np.random.default_rng(7)
TEXT = RNG.integers(0, 60, 20_000).astype(np.uint16)


def brute(tokens: np.ndarray, written: np.ndarray) -> int:
    """The length of the longest common run, by the book."""
    best, row = 0, np.zeros(len(tokens) + 1, dtype=int)
    for token in written:
        row[1:] = np.where(tokens == token, row[:-1] + 1, 0)
        best = max(best, int(row.max()))
    return best


@pytest.mark.parametrize("stride", [16, 40])
@pytest.mark.parametrize("place", [0, 1, 15, 16, 777, 19_800])
@pytest.mark.parametrize("length", [60, 150])
def test_a_copy_is_found_wherever_it_stands(stride: int, place: int, length: int) -> None:
    finder = CopyFinder(TEXT, max_windows=len(TEXT) // stride)
    assert finder.stride == stride
    noise = RNG.integers(60, 90, 50)
    written = np.concatenate([noise, TEXT[place : place + length], noise]).astype(np.int64)
    assert finder.longest(written) == Copy(50, 50 + len(TEXT[place : place + length]), 1)


def test_what_was_never_there_is_not_found() -> None:
    assert CopyFinder(TEXT).longest(RNG.integers(0, 60, 500)).length == 0
    assert CopyFinder(TEXT).longest(RNG.integers(60, 90, 500)) == Copy()


@pytest.mark.parametrize("length", [0, 1, WINDOW - 1])
def test_too_little_to_compare(length: int) -> None:
    assert CopyFinder(TEXT).longest(TEXT[:length].astype(np.int64)) == Copy()
    assert CopyFinder(TEXT[:length]).longest(TEXT[:100].astype(np.int64)) == Copy()


def test_a_passage_that_stands_at_many_places_says_so() -> None:
    passage = RNG.integers(0, 60, 70)
    tokens = np.concatenate([part for piece in np.split(TEXT, 5) for part in (piece, passage)]).astype(np.uint16)
    found = CopyFinder(tokens).longest(np.concatenate([[99], passage, [99]]))
    assert found == Copy(1, 71, 5)


def test_endless_boilerplate_costs_no_more_than_its_bound() -> None:
    found = CopyFinder(np.zeros(300_000, dtype=np.uint16)).longest(np.zeros(500, dtype=np.int64))
    assert found.length == 500


def test_ids_above_sixteen_bits_are_told_apart() -> None:
    tokens = (TEXT.astype(np.uint32) + 100_000).astype(np.uint32)
    assert CopyFinder(tokens).longest(TEXT[100:200].astype(np.int64)) == Copy()
    assert CopyFinder(tokens).longest(tokens[100:200].astype(np.int64)).length == 100


def test_tokens_mapped_from_a_file_are_read_in_place(tmp_path) -> None:  # type: ignore[no-untyped-def]
    TEXT.tofile(tmp_path / "train.bin")
    mapped = np.memmap(tmp_path / "train.bin", dtype=np.uint16, mode="r")
    assert CopyFinder(mapped).longest(TEXT[5000:5200].astype(np.int64)) == Copy(0, 200, 1)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 4), st.integers(50, 400))
def test_equal_to_comparing_everything_with_everything(seed: int, symbols: int, length: int) -> None:
    rng = np.random.default_rng(seed)
    tokens = rng.integers(0, symbols + 1, 1500).astype(np.uint16)
    start = int(rng.integers(0, 1000))
    written = np.concatenate([rng.integers(0, symbols + 1, 40), tokens[start : start + length].astype(np.int64)])
    finder = CopyFinder(tokens)
    truth = brute(tokens, written)
    assert finder.longest(written).length == truth >= finder.floor
