"""Names of data sets: what exists, and that no name leads out of the data folder."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from trainer.catalog import list_datasets, resolve, text_files
from trainer.config import ConfigError, TrainConfig


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    (folder / "books" / "old").mkdir(parents=True)
    (folder / "poems.txt").write_text("roses")
    (folder / "books" / "a.md").write_text("one")
    (folder / "books" / "old" / "b.jsonl").write_text('{"text": "two"}')
    (folder / "books" / "cover.png").write_bytes(b"\x89PNG")
    (folder / "photos").mkdir()
    (folder / "model.bin").write_bytes(b"0")
    (tmp_path / "secret.txt").write_text("secret")
    return folder


def test_the_built_in_set_is_first_then_what_can_be_trained_on(data: Path) -> None:
    found = list_datasets(data)
    assert [(info.name, info.kind) for info in found] == [
        ("python-docs", "built-in"),
        ("books", "folder"),
        ("poems.txt", "file"),
    ]
    assert found[1].bytes == 3 + len('{"text": "two"}') and found[1].note == "2 files"


def test_a_data_folder_that_is_not_there_has_the_built_in_set_alone(tmp_path: Path) -> None:
    assert [info.name for info in list_datasets(tmp_path / "nowhere")] == ["python-docs"]


def test_names_lead_to_files_and_folders(data: Path) -> None:
    assert resolve("python-docs", data) is None
    assert resolve("poems.txt", data) == (data / "poems.txt").resolve()
    assert resolve("books/old", data) == (data / "books/old").resolve()
    assert [path.name for path in text_files(data / "books", data)] == ["a.md", "b.jsonl"]


@pytest.mark.parametrize(
    "name",
    ["../secret.txt", "books/../../secret.txt", "/etc/passwd", "~/x.txt", "a\0b", "..", "books/../poems.txt", "a b"],
)
def test_a_name_that_leads_outside_is_refused(data: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="leads outside the data folder"):
        resolve(name, data)


def test_a_link_out_of_the_data_folder_is_refused_and_not_listed(data: Path, tmp_path: Path) -> None:
    (data / "link.txt").symlink_to(tmp_path / "secret.txt")
    (data / "out").symlink_to(tmp_path)
    for name in ("link.txt", "out", "out/secret.txt"):
        with pytest.raises(ConfigError, match="leads outside"):
            resolve(name, data)
    assert {"link.txt", "out"}.isdisjoint({info.name for info in list_datasets(data)})


def test_a_link_out_of_a_folder_inside_it_is_passed_over(data: Path, tmp_path: Path) -> None:
    (data / "books" / "link.txt").symlink_to(tmp_path / "secret.txt")
    assert [path.name for path in text_files(data / "books", data)] == ["a.md", "b.jsonl"]


def test_a_missing_name_gets_a_suggestion_or_the_list(data: Path) -> None:
    with pytest.raises(ConfigError, match=r"'poem.txt' is not in the data folder .*; did you mean 'poems.txt'\?"):
        resolve("poem.txt", data)
    with pytest.raises(ConfigError, match=r"there is: python-docs, books, poems.txt"):
        resolve("zzzzzz", data)


def test_other_files_and_empty_folders_are_refused_with_what_is_allowed(data: Path) -> None:
    with pytest.raises(ConfigError, match=r"'model.bin' is a .bin file; files can be .txt, .md, .jsonl"):
        resolve("model.bin", data)
    with pytest.raises(ConfigError, match=r"'photos' is a folder without any .txt, .md, .jsonl file"):
        resolve("photos", data)


def test_odd_things_in_the_data_folder_neither_break_the_list_nor_hang_it(data: Path) -> None:
    (data / "gone.txt").symlink_to(data / "nowhere.txt")
    (data / "self.txt").symlink_to(data / "self.txt")
    os.mkfifo(data / "pipe.txt")
    (data / "zero.txt").touch()
    Path(os.fsdecode(os.fsencode(data) + b"/bad\xff.txt")).touch()
    assert [info.name for info in list_datasets(data)] == ["python-docs", "books", "poems.txt", "zero.txt"]
    for name, sentence in (
        ("gone.txt", "is not in the data folder"), ("self.txt", "is not in the data folder"),
        ("poems.txt/x", "is not in the data folder"), ("pipe.txt", "is neither a file nor a folder"),
        ("a" * 300, "leads outside"),
    ):  # fmt: skip
        with pytest.raises(ConfigError, match=sentence):
            resolve(name, data)


def test_a_name_too_long_for_any_file_is_refused_with_the_settings() -> None:
    with pytest.raises(ConfigError, match="up to 200 characters"):
        TrainConfig(dataset="a" * 201)
    assert TrainConfig(dataset="a" * 200).dataset
