"""Measures of text: what real text of many kinds gives, and what loops and broken bytes give."""

from __future__ import annotations

import random

import pytest

from diagnostics import texts

LOOP = "and the king said to the king that he was "


@pytest.mark.parametrize("period", [3, 10, 20, 40])
@pytest.mark.parametrize("length", [200, 300, 500, 3000])
def test_a_loop_is_measured_as_one_at_any_length(period: int, length: int) -> None:
    text = (LOOP[:period] * length)[:length]
    assert texts.compression(text) > 2.4
    assert texts.repeated_share(text) > 0.5


def test_a_loop_at_the_end_of_a_long_good_text_is_seen() -> None:
    random.seed(1)
    good = " ".join("".join(random.choices("abcdefgh", k=5)) for _ in range(400))
    assert texts.repeated_share(good) < 0.1
    assert texts.repeated_share(good + LOOP * 20) > 0.5


def test_length_does_not_change_what_text_measures() -> None:
    import pydoc_data.topics

    text = pydoc_data.topics.topics["class"] * 3
    assert texts.compression(text) == texts.compression(text[-5000:]) < 2.4


def test_a_loop_without_spaces_is_seen() -> None:
    assert texts.repeated_share("天地玄黄宇宙洪荒" * 60) > 0.9
    assert texts.repeated_share("abcdefghij" * 60) > 0.9


@pytest.mark.parametrize("text", ["", " ", "\n\n", "a", "\ufffd", "…"])
def test_texts_of_nothing_measure_nothing(text: str) -> None:
    assert texts.compression(text) < 2.4
    assert texts.repeated_share(text) == 0
    assert texts.unprintable_share(text) == 0


@pytest.mark.parametrize(
    "text",
    [
        "def f(x):\n\treturn x\r\n" * 3,
        "نص عربي\u200f مع علامات",
        "👩\u200d👩\u200d👧 emoji with joiners",
        "हिन्दी क्\u200dष",
        "天地玄黄",
        "cut in a character at the end\ufffd\ufffd",
    ],
)
def test_what_people_write_is_readable(text: str) -> None:
    assert texts.unprintable_share(text) == 0


def test_broken_bytes_are_unreadable() -> None:
    random.seed(0)
    text = bytes(random.randrange(256) for _ in range(400)).decode("utf-8", "replace")
    assert texts.unprintable_share(text) > 0.3
    assert texts.unprintable_share("\ufffd" * 50) > 0.9
    assert texts.unprintable_share("ab\x00\x01" * 20) == 0.5


def test_the_commonest_word_or_character() -> None:
    assert texts.commonest("the " * 40) == ("the", 1.0)
    assert texts.commonest("a" * 300) == ("a", 1.0)
    assert texts.commonest("title\n=====================\nsome words under a ruler")[1] < 0.2
    assert texts.commonest("") == ("", 0.0)
