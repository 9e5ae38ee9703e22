"""What is written to a terminal, and what to everything else."""

from __future__ import annotations

import io

import pytest

from runwell.commands.terminal import Terminal, terminal_of


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("environ", "colour"),
    [({}, True), ({"NO_COLOR": "1"}, False), ({"NO_COLOR": ""}, True), ({"TERM": "dumb"}, False), ({"TERM": "xterm"}, True)],
)  # fmt: skip
def test_colours_are_for_terminals_that_want_them(environ: dict[str, str], colour: bool) -> None:
    assert terminal_of(Screen(), environ).colour is colour
    assert terminal_of(io.StringIO(), environ) == Terminal(False, 0)


@pytest.mark.parametrize(("columns", "width"), [("80", 80), ("200", 200), ("12", 0)])
def test_lines_are_as_wide_as_the_terminal(monkeypatch: pytest.MonkeyPatch, columns: str, width: int) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    assert terminal_of(Screen(), {}).width == width
