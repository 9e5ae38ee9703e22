"""The shape of the house: files stay small, every module says what it is for, dependencies have reasons."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FOLDERS = ("runwell", "trainer", "diagnostics", "dashboard", "tests", "benchmarks", "docs")
FILES = [path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))]
MAX_LINES = 500


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_is_short_and_says_what_it_is_for(path: Path) -> None:
    source = path.read_text()
    assert source.count("\n") <= MAX_LINES, f"{path.name} has more than {MAX_LINES} lines: split it"
    assert ast.get_docstring(ast.parse(source)), f"{path.name} has no module docstring"


@pytest.mark.parametrize("path", sorted((ROOT / "dashboard/ui/assets").glob("*.js")), ids=lambda path: path.name)
def test_our_scripts_are_short_too(path: Path) -> None:
    assert path.read_text().count("\n") <= MAX_LINES


def test_public_functions_and_classes_are_documented() -> None:
    missing = []
    for path in FILES:
        if path.relative_to(ROOT).parts[0] in {"tests", "benchmarks", "docs"}:
            continue
        for node in ast.parse(path.read_text()).body:
            if (
                isinstance(node, (ast.FunctionDef, ast.ClassDef))
                and not node.name.startswith("_")
                and not ast.get_docstring(node)
            ):
                missing.append(f"{path.relative_to(ROOT)}:{node.lineno} {node.name}")
    assert not missing, "\n".join(missing)


def test_every_dependency_has_a_reason_and_a_pinned_version() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    project = tomllib.loads(text)["project"]
    pinned = {
        line.partition("==")[0].lower().replace("_", "-")
        for line in (ROOT / "constraints.txt").read_text().splitlines()
    }
    for group in ("server", "trainer"):
        for requirement in project["optional-dependencies"][group]:
            name = re.match(r"[\w-]+", requirement).group()  # type: ignore[union-attr]
            assert name.lower() in pinned, f"{name} is not in constraints.txt"
            line = next(line for line in text.splitlines() if line.strip().startswith(f'"{requirement}"'))
            assert "#" in line, f"{name} has no reason beside it"
    assert project["dependencies"] == [], "the SDK depends on nothing"
    assert project["license"] == "Apache-2.0"


def test_torch_is_pinned() -> None:
    assert "torch==2.13.0" in (ROOT / "constraints.txt").read_text().splitlines()
