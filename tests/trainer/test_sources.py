"""Reading text: the built-in documentation, files, JSON lines, folders, and every sentence for what cannot be read."""

from __future__ import annotations

from pathlib import Path

import pytest

from trainer.errors import DataError
from trainer.python_docs import documents, python_docs
from trainer.sources import load_text


@pytest.fixture(scope="module")
def built_in() -> list[str]:
    return documents()


def read(tmp_path: Path, name: str, content: str | bytes, limit: int = 0) -> str:
    path = tmp_path / "data" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return load_text(name, tmp_path / "data", tmp_path / "cache", limit)


def test_python_docs_is_large_clean_and_without_repeats(built_in: list[str]) -> None:
    text = "\n".join(built_in)
    assert 1_500_000 < len(text) < 6_000_000
    assert len(set(built_in)) == len(built_in) > 2000
    assert all(100 <= len(document) <= 100_000 for document in built_in)
    assert text.isascii() or sum(not character.isascii() for character in text) < len(text) / 1000
    assert "json.dumps(obj" in text and "The try statement" in text.replace('"try"', "try")


def test_python_docs_mixes_its_subjects_so_that_its_end_is_a_fair_sample(built_in: list[str]) -> None:
    modules = [document.partition(".")[0] for document in built_in]
    tail = set(modules[-len(modules) // 10 :])
    assert len(tail) > 50, "the held-out end is of few modules only"


def test_python_docs_is_made_once_and_survives_a_cache_that_cannot_be_written(
    tmp_path: Path, built_in: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainer.python_docs.documents", lambda: built_in)
    made = python_docs(tmp_path / "cache")
    monkeypatch.setattr("trainer.python_docs.documents", lambda: pytest.fail("made twice"))
    assert python_docs(tmp_path / "cache") == made
    monkeypatch.setattr("trainer.python_docs.documents", lambda: built_in)
    (tmp_path / "file").write_text("in the way")
    assert python_docs(tmp_path / "file" / "cache") == made


def test_text_files_are_read_as_they_are(tmp_path: Path) -> None:
    assert read(tmp_path, "a.txt", "Grüße\n\tzwei 🙂") == "Grüße\n\tzwei 🙂"
    assert read(tmp_path, "a.txt", "0123456789", limit=4) == "0123"


@pytest.mark.parametrize(
    ("line", "document"),
    [
        ('"plain"', "plain"),
        ('{"text": "one", "id": 7}', "one"),
        ('{"content": "two"}', "two"),
        ('{"instruction": "Say hi.", "response": "Hi."}', "Say hi.\nHi."),
        ('{"text": "half \\ud800 pair"}', "half ? pair"),
    ],
)
def test_json_lines_of_common_forms(tmp_path: Path, line: str, document: str) -> None:
    assert read(tmp_path, "a.jsonl", f"{line}\n\n") == document


def test_the_mark_that_windows_puts_first_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbfTo be\n")
    (tmp_path / "b.jsonl").write_bytes(b'\xef\xbb\xbf{"text": "To be"}\n')
    assert load_text("a.txt", tmp_path, tmp_path) == "To be\n"
    assert load_text("b.jsonl", tmp_path, tmp_path) == "To be"


def test_a_folder_is_read_in_the_order_of_its_paths(tmp_path: Path) -> None:
    for name, content in (("b.txt", "second"), ("a.md", "first"), ("c/d.jsonl", '"third"')):
        path = tmp_path / "data" / "set" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    assert load_text("set", tmp_path / "data", tmp_path) == "first\n\nsecond\n\nthird"
    assert load_text("set", tmp_path / "data", tmp_path, limit=3) == "fir"


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("a.txt", b"ok \xff\xfe", r"a.txt is not UTF-8 text \(byte 3\); convert it to UTF-8"),
        ("a.txt", b" \n ", "'a.txt' has no text in it"),
        ("a.jsonl", b"{oops", "a.jsonl line 1 is not JSON"),
        ("a.jsonl", b'"x"\n{"id": 1}', "a.jsonl line 2 has no text: it needs one of text, content"),
        ("a.jsonl", b"[" * 100_000, "a.jsonl line 1 is not JSON"),
        ("a.jsonl", b"7", "a.jsonl line 1 has no text"),
    ],
)
def test_what_cannot_be_read_is_said_in_one_sentence(tmp_path: Path, name: str, content: bytes, sentence: str) -> None:
    with pytest.raises(DataError, match=sentence):
        read(tmp_path, name, content)
