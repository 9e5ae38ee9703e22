"""The docs say what is there: generated pages are fresh, README names real paths and commands, nothing is undocumented."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
_spec = importlib.util.spec_from_file_location("docs_generate", ROOT / "docs/generate.py")
assert _spec is not None and _spec.loader is not None
generate = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(generate)


@pytest.mark.parametrize("name", generate.PAGES)
def test_generated_page_is_fresh(name: str) -> None:
    assert (ROOT / "docs" / name).read_text() == generate.PAGES[name](), "run `make docs`"


def markdown_files() -> list[Path]:
    return [README, ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("page", markdown_files(), ids=lambda page: page.name)
def test_every_link_and_named_path_exists(page: Path) -> None:
    text = page.read_text()
    links = re.findall(r"\]\(([^)#\s]+)", text)
    missing = [link for link in links if "://" not in link and not (page.parent / link).exists()]
    named = re.findall(r"`((?:runwell|trainer|diagnostics|dashboard|tests|benchmarks|docs)/[\w./-]*)`", text)
    missing += [path for path in named if not (ROOT / path).exists()]
    assert not missing, f"{page.name} names paths that do not exist: {missing}"


def test_readme_commands_exist() -> None:
    text = README.read_text()
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    shown = "\n".join(code_of(text))
    assert {"up", "test"} <= set(re.findall(r"\bmake ([a-z]+)", shown)) <= targets
    from runwell.cli import COMMANDS

    assert set(re.findall(r"(?:bin/|^)runwell ([a-z]+)", shown, re.MULTILINE)) <= set(COMMANDS)


def code_of(text: str) -> list[str]:
    return re.findall(r"`([^`\n]+)`", text) + re.findall(r"```\w*\n(.*?)```", text, re.DOTALL)


def test_readme_lists_every_rule_in_its_table() -> None:
    from diagnostics.rules import RULES

    text = README.read_text()
    missing = [rule.id for rule in RULES if f"| `{rule.id}` | {rule.summary} |" not in text]
    assert RULES and not missing, f"README's rules table lacks {missing}"


def test_every_route_is_documented(tmp_path: Path) -> None:
    from dashboard.app import create_app
    from dashboard.settings import Settings

    app = create_app(Settings.from_environment({"RUNWELL_HOME": str(tmp_path)}, first_run=False))
    api = (ROOT / "docs/api.md").read_text()
    paths = set(app.openapi()["paths"]) | {"/api/v1/live"}
    missing = sorted(path for path in paths if path.removeprefix("/api/v1") not in api)
    assert paths and not missing, f"docs/api.md lacks {missing}"


def test_every_environment_variable_is_documented() -> None:
    used = set()
    for package in ("runwell", "dashboard", "trainer"):
        for path in (ROOT / package).rglob("*.py"):
            used |= set(re.findall(r"\bRUNWELL_[A-Z_]+\b", path.read_text()))
    text = "\n".join(page.read_text() for page in markdown_files())
    assert used and not {name for name in used if name not in text}
