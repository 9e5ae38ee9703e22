"""Tokenizers: whatever text goes in comes out again, and what cannot is refused in one sentence."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.errors import TokenizerError
from trainer.tokenizer import (
    BpeTokenizer,
    ByteTokenizer,
    CharTokenizer,
    Tokenizer,
    Tokens,
    check_round_trip,
    from_json,
    make_tokenizer,
)

ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)


@pytest.fixture(scope="module")
def bpe() -> BpeTokenizer:
    return BpeTokenizer.train("the cat sat on the mat. the rat sat on the hat.\n" * 50, 300)


@given(ANY_TEXT)
def test_bytes_round_trip(text: str) -> None:
    check_round_trip(ByteTokenizer(), text)


@given(ANY_TEXT)
def test_characters_round_trip(text: str) -> None:
    tokenizer = make_tokenizer("char", 0, "", text)
    check_round_trip(tokenizer, text)
    assert tokenizer.size == len(set(text))


@given(ANY_TEXT)
@settings(deadline=None)
def test_bpe_round_trips_text_that_it_never_saw(bpe: BpeTokenizer, text: str) -> None:
    check_round_trip(bpe, text)


def test_bpe_learns_pieces_up_to_the_size_asked_for(bpe: BpeTokenizer) -> None:
    assert 256 < bpe.size <= 300
    assert len(bpe.encode("the cat sat")) < len("the cat sat") / 2


def test_long_text_is_encoded_in_pieces_and_still_comes_back(
    bpe: BpeTokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainer.tokenizer._CHUNK", 50)
    check_round_trip(bpe, "the cat sat on the mat.\n" * 100 + "x" * 500)


def test_bytes_that_are_not_text_show_as_replacement_characters() -> None:
    assert ByteTokenizer().decode([0xC3, 0x28]) == "\ufffd("


@pytest.mark.parametrize("kind", ["char", "byte", "bpe"])
def test_saved_and_built_again_it_is_the_same(kind: str) -> None:
    text = "to be or not to be, that is the question. " * 20
    tokenizer = make_tokenizer(kind, 270, text, text)
    again = from_json(json.loads(json.dumps(tokenizer.to_json())))
    assert again.kind == kind and again.size == tokenizer.size
    assert np.array_equal(again.encode(text), tokenizer.encode(text))


@pytest.mark.parametrize("saved", [{}, {"kind": "char"}, {"kind": "bpe", "model": {"nonsense": 1}}])
def test_what_is_no_tokenizer_is_refused(saved: dict[str, object]) -> None:
    with pytest.raises(TokenizerError, match="the saved tokenizer cannot be read"):
        from_json(saved)


def test_a_character_without_a_token_is_named() -> None:
    with pytest.raises(
        TokenizerError, match="characters that the data does not: 'z', '🙂'; use tokenizer = byte or bpe"
    ):
        CharTokenizer("abc").encode("abz🙂")


class _Lossy(ByteTokenizer):
    """Loses capitals, as a broken tokenizer might."""

    def encode(self, text: str) -> Tokens:
        return super().encode(text.lower())


class _Overflowing(ByteTokenizer):
    """Makes ids that the model has no row for."""

    def encode(self, text: str) -> Tokens:
        return super().encode(text) + 200


@pytest.mark.parametrize(
    ("broken", "sentence"),
    [(_Lossy(), "at character 4, 'That is' became 'that is'"), (_Overflowing(), "its vocabulary ends at 255")],
)
def test_a_broken_tokenizer_is_caught_with_the_first_difference(broken: Tokenizer, sentence: str) -> None:
    with pytest.raises(TokenizerError, match=sentence):
        check_round_trip(broken, "say That is")
