"""What stands in a token stream more than once, and how much of the validation part stands in it."""

from __future__ import annotations

import numpy as np
import pytest

from trainer import repeats
from trainer.repeats import measure, window_tokens


def tokens(count: int, seed: int = 0, vocabulary: int = 50) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, vocabulary, count).astype(np.uint16)


def test_text_without_repeats() -> None:
    found = measure(tokens(20_000), tokens(3_000, seed=1), 50)
    assert found is not None
    assert (found.distinct, found.repeated, found.most, found.overlap) == (1.0, 0.0, 1, 0.0)


def test_a_text_that_is_its_first_tenth_ten_times() -> None:
    stream = np.tile(tokens(3_000), 10)
    found = measure(stream, tokens(3_000, seed=1), 50)
    assert found is not None
    assert found.distinct == pytest.approx(0.1, abs=0.005) and found.repeated == 1.0 and found.overlap == 0.0


@pytest.mark.parametrize("share", [0.25, 1.0])
def test_validation_text_that_stands_in_the_training_text(share: float) -> None:
    held_out = tokens(8_000, seed=1)
    stream = np.concatenate([tokens(20_000), held_out[: int(share * 8_000)]])
    found = measure(stream, held_out, 50)
    assert found is not None and found.overlap is not None
    assert found.overlap == pytest.approx(share, abs=0.02) and found.repeated == 0.0


def test_headers_that_stand_everywhere_are_no_overlap() -> None:
    header = tokens(300, seed=9)
    files = [part for at in range(60) for part in (header, tokens(300, seed=20 + at))]
    stream, held_out = np.concatenate(files[:-20]), np.concatenate(files[-20:])
    found = measure(stream, held_out, 50)
    assert found is not None
    assert found.overlap is not None and found.overlap < 0.01 and found.most == 50 and 0.3 < found.repeated < 0.5


def test_the_passage_that_is_repeated_most_is_found_and_counted_across_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    passage = tokens(400, seed=2)
    pieces = [part for at in range(30) for part in (tokens(970 + at, seed=100 + at), passage)]
    stream = np.concatenate(pieces)
    whole = measure(stream, stream[:0], 60, sampled=4_000)
    monkeypatch.setattr(repeats, "AT_ONCE", 1_000)
    in_pieces = measure(stream, stream[:0], 60, sampled=4_000)
    assert whole == in_pieces and whole is not None
    assert whole.most == 30 and whole.overlap is None
    assert np.array_equal(stream[whole.most_at : whole.most_at + 60], passage[:60]) or any(
        np.array_equal(stream[whole.most_at : whole.most_at + 60], passage[at : at + 60]) for at in range(341)
    )


def test_counts_are_those_of_a_search_by_hand() -> None:
    stream = tokens(600, vocabulary=2)
    found = measure(stream, stream[:0], 16, sampled=10_000)
    windows = [tuple(stream[at : at + 16]) for at in range(585)]
    places = [windows.count(window) for window in windows]
    assert found is not None
    assert found.most == max(places) and found.distinct == pytest.approx(np.mean([1 / p for p in places]))


def test_what_is_too_short_says_nothing() -> None:
    assert measure(tokens(400), tokens(400), 50) is None
    found = measure(tokens(4_000), tokens(140), 50)
    assert found is not None and found.overlap is None


@pytest.mark.parametrize(("characters", "count", "window"), [(1000, 1000, 100), (4000, 1000, 25), (10_000, 100, 16), (100, 1000, 256), (0, 0, 16)])  # fmt: skip
def test_a_window_holds_about_a_hundred_characters(characters: int, count: int, window: int) -> None:
    assert window_tokens(characters, count) == window
