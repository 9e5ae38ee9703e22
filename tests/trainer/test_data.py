"""The split, the token files, and which windows a step sees."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer import data
from trainer.config import TrainConfig
from trainer.data import Batches, Corpus, evaluation_batches, prepare, split
from trainer.errors import DataError, TokenizerError
from trainer.tokenizer import CharTokenizer

Make = Callable[..., TrainConfig]


@given(st.text(max_size=300), st.floats(0.001, 0.5))
def test_every_character_is_in_exactly_one_part(text: str, fraction: float) -> None:
    train, val = split(text, fraction)
    assert train + val == text
    assert abs(len(val) - fraction * len(text)) <= 1


def test_a_tenth_is_cut_where_others_cut_it() -> None:
    # int(0.9 n), as nanoGPT does: 1 - 0.1 is a little less than 0.9 in floating point for some n.
    assert all(len(split("x" * n, 0.1)[0]) == int(n * 0.9) for n in range(1, 2000))


@pytest.mark.parametrize("kind", ["char", "byte", "bpe"])
def test_the_parts_decode_to_the_split_text(config: Make, text: str, tmp_path: Path, kind: str) -> None:
    corpus = prepare(config(tokenizer=kind, vocab_size=300), text, tmp_path)
    train, val = split(text, 0.1)
    assert corpus.tokenizer.decode(corpus.train) == train
    assert corpus.tokenizer.decode(corpus.val) == val
    assert corpus.characters == len(text)


@pytest.mark.parametrize("kind", ["char", "bpe"])
def test_large_text_is_encoded_in_pieces_without_a_seam(
    config: Make, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(data, "_ENCODED_AT_ONCE", 333)
    corpus = prepare(config(tokenizer=kind, vocab_size=300), text, tmp_path)
    assert corpus.tokenizer.decode(corpus.train) == split(text, 0.1)[0]


def test_the_second_start_reads_what_the_first_one_made(
    config: Make, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = prepare(config(tokenizer="bpe", vocab_size=300), text, tmp_path)
    monkeypatch.setattr(data, "make_tokenizer", lambda *_: pytest.fail("learned again"))
    second = prepare(config(tokenizer="bpe", vocab_size=300, learning_rate=5e-4), text, tmp_path)
    assert isinstance(second.train, np.memmap) and np.array_equal(first.train, second.train)
    monkeypatch.undo()
    other = prepare(config(tokenizer="bpe", vocab_size=300), text + "more", tmp_path)
    assert other.characters == len(text) + 4 and len(list((tmp_path / "tokens").iterdir())) == 2


def test_the_cache_is_bounded_and_leaves_no_halves(config: Make, text: str, tmp_path: Path) -> None:
    for size in range(25):
        prepare(config(), text + "a" * size, tmp_path)
    kept = list((tmp_path / "tokens").iterdir())
    assert len(kept) == 20 and not [path for path in kept if path.name.endswith(".partial")]


def test_a_resume_keeps_the_tokenizer_that_it_is_given(config: Make, text: str, tmp_path: Path) -> None:
    given_one = CharTokenizer("".join(sorted(set(text) | {"Z"})))
    corpus = prepare(config(), text, tmp_path, given_one)
    assert corpus.tokenizer is given_one and int(corpus.train.max()) < given_one.size
    with pytest.raises(TokenizerError, match="characters that the data does not"):
        prepare(config(), text, tmp_path, CharTokenizer("abc"))


@pytest.mark.parametrize(
    ("length", "part"), [(10, "the training part has 9 tokens"), (100, "the validation part has 10 tokens")]
)
def test_too_little_text_is_said_with_what_to_do(config: Make, tmp_path: Path, length: int, part: str) -> None:
    with pytest.raises(
        DataError, match=f"{part}, too few for one context of 16; use more text, a shorter context_length"
    ):
        prepare(config(), ("abcdefgh" * 20)[:length], tmp_path)


def test_targets_are_inputs_shifted_by_one(config: Make, corpus: Callable[[TrainConfig], Corpus]) -> None:
    cfg = config()
    ids, targets = Batches(corpus(cfg).train, cfg).draw(1, 0)
    assert ids.shape == targets.shape == (4, 16)
    assert (ids[:, 1:] == targets[:, :-1]).all()


def test_a_batch_depends_on_seed_step_and_pass_alone(config: Make, corpus: Callable[[TrainConfig], Corpus]) -> None:
    tokens = corpus(config()).train
    batches = Batches(tokens, config(accumulation_steps=2))
    in_order = {(step, micro): batches.draw(step, micro)[0] for step in range(1, 90) for micro in (0, 1)}
    for step, micro in ((85, 1), (2, 0), (44, 1)):
        fresh = Batches(tokens, config(accumulation_steps=2)).draw(step, micro)[0]
        assert (fresh == in_order[step, micro]).all(), "a resumed run must see what an uninterrupted one saw"
    other = Batches(tokens, config(seed=1, accumulation_steps=2)).draw(85, 1)[0]
    assert (other != in_order[85, 1]).any()


@pytest.mark.parametrize("length", [17, 18, 40, 1000])
def test_an_epoch_sees_no_token_twice_and_the_next_one_is_another(config: Make, length: int) -> None:
    cfg = config(batch_size=1)
    batches = Batches(np.arange(length, dtype=np.uint16), cfg)
    windows = max(1, (length - 1) // 16 - 1)
    epochs = [
        [int(batches.draw(epoch * windows + number, 0)[1][0, 0]) for number in range(1, windows + 1)]
        for epoch in range(6)
    ]
    for starts in epochs:
        assert len(set(starts)) == windows
        assert all(later - earlier >= 16 for earlier, later in itertools.pairwise(sorted(starts))), "windows overlap"
    if length >= 40:
        assert len({tuple(starts) for starts in epochs}) > 1


def test_every_token_is_seen_sooner_or_later(config: Make) -> None:
    for length in (17, 19, 50):
        batches = Batches(np.arange(length, dtype=np.uint16), config())
        seen = {int(token) for step in range(1, 200) for row in batches.draw(step, 0)[1] for token in row}
        assert seen == set(range(1, length)), "some target is never trained on"


@given(length=st.integers(17, 400), batches=st.integers(1, 12))
def test_evaluation_windows_never_overlap_and_span_the_part(length: int, batches: int) -> None:
    cfg = TrainConfig(n_embd=8, n_head=1, context_length=16, batch_size=2, eval_batches=batches)
    drawn = evaluation_batches(np.arange(length, dtype=np.uint16), cfg)
    seen = [int(token) for _, targets in drawn for row in targets for token in row]
    assert len(seen) == len(set(seen)), "a token is counted twice"
    assert len(seen) == 16 * min(2 * batches, (length - 1) // 16)
    assert sum(len(ids) for ids, _ in drawn) <= 2 * batches
    if len(seen) > 16:
        assert max(seen) == length - 1, "the end of the part is never looked at"
    again = evaluation_batches(np.arange(length, dtype=np.uint16), cfg)
    assert all((a == c).all() for (a, _), (c, _) in zip(drawn, again, strict=True))
