"""What the audit counts in documents: the book's example, copies and near copies, and text that cannot be read."""

from __future__ import annotations

import random

import pytest

from trainer.audit import audit

LONG = "The light of the sea falls on a house in the north and we have to go back to it. "


def words(seed: int, count: int = 120) -> str:
    numbers = random.Random(seed)
    return " ".join("".join(numbers.choices("etaoinshrdlu", k=numbers.randint(2, 9))) for _ in range(count))


def test_six_documents_as_the_book_audits_them() -> None:
    long = " ".join((LONG * 4).split()[:65])
    sentences = ["To be of use is all that a good tool can", "The sum of all that we have in a day is"]
    twin = long.ljust(433 - sum(map(len, sentences)))  # equal but for its white space
    found = audit([long.ljust(440), twin, "", "Hi", *sentences])
    assert (found.documents, found.words, found.characters, int(found.mean_words)) == (6, 153, 875, 25)
    assert (found.shortest, found.longest, found.duplicates, found.empty) == (0, 440, 1, 1)
    assert found.english == pytest.approx(4 / 6)
    assert found.issues == (
        "4 of 6 documents have fewer than 50 characters (1 empty)",
        "1 of 6 documents is a copy of another",
    )


def test_a_clean_text_has_no_issue() -> None:
    found = audit(words(seed) for seed in range(60))
    assert (found.duplicates, found.near_duplicates, found.unreadable, found.issues) == (0, 0, 0.0, ())
    assert found.english == 0.0, "made-up words: no illness, and no English"
    assert found.mean_words == 120


def test_copies_are_known_by_their_words_and_near_copies_by_most_of_them() -> None:
    originals = [words(seed) for seed in range(40)]
    copies = [text.replace(" ", "\n  ") for text in originals[:5]]
    near = [text + " and a word more" for text in originals[10:17]]
    apart = [" ".join(text.split()[:30] + words(900 + at).split()) for at, text in enumerate(originals[20:25])]
    found = audit([*originals, *copies, *near, *apart])
    assert (found.duplicates, found.near_duplicates) == (5, 7)
    assert [issue.split(" of ")[0] for issue in found.issues] == ["5", "7"]


def test_empty_ones_are_no_copies_of_each_other() -> None:
    found = audit([words(1), *[words(seed) for seed in range(2, 40)], "", "  \n"])
    assert (found.empty, found.duplicates, found.short) == (2, 0, 2)
    assert found.issues == ("2 of 41 documents are empty",)


def test_what_stands_for_no_character_is_counted() -> None:
    found = audit(["caf\ufffd au lait\x00\x07 " * 3 + "Ünïcödé, 漢字, emoji 🎉 and\ttabs\nare text"])
    assert found.unreadable == pytest.approx(9 / found.characters)
    assert "cannot be read" in found.issues[0] or "cannot be read" in found.issues[-1]


def test_nothing_at_all() -> None:
    found = audit([])
    assert (found.documents, found.shortest, found.longest, found.mean_words, found.issues) == (0, 0, 0, 0.0, ())
