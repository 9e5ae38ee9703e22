"""Who may import whom: walks every import statement and fails on a wrong arrow (docs/architecture.md)."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
OURS = ("runwell", "trainer", "diagnostics", "dashboard")
STDLIB = sys.stdlib_module_names
PURE_TRAINER = {"trainer.config", "trainer.presets", "trainer.catalog", "trainer.schedule"}
FRAMEWORKS = {
    "fastapi", "starlette", "uvicorn", "sqlalchemy", "pydantic", "dash", "plotly", "dash_mantine_components", "dash_ag_grid",
    "a2wsgi", "numpy", "scipy", "psutil", "flask", "websockets",
}  # fmt: skip
RUNWELL_FOR_SERVER = {
    "runwell.wire",
    "runwell.fields",
    "runwell.report",
    "runwell.frames",
    "runwell.metrics",
    "runwell.runlog",
    "runwell.home",
}


def modules() -> Iterator[tuple[str, Path]]:
    for package in OURS:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


def imports(path: Path, top_only: bool = False) -> Iterator[str]:
    """Full names of what a file imports, `from a.b import c` as `a.b` (and `a.b.c` when that is a module)."""
    tree = ast.parse(path.read_text())
    typing_only = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")
        for inner in ast.walk(node)
    }
    inside = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in typing_only or (top_only and id(node) in inside):
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            base = node.module or ""
            for alias in node.names:
                candidate = ROOT / Path(*base.split("."), alias.name)
                is_module = candidate.with_suffix(".py").exists() or candidate.is_dir()
                yield f"{base}.{alias.name}" if base.split(".")[0] in OURS and is_module else base


def allowed(module: str, target: str) -> bool:
    """Whether `module` may import `target`, wherever in the file the import stands."""
    package, root = module.split(".")[0], target.split(".")[0]
    if root in STDLIB or target == module:
        return True
    if module == "runwell.cli" or module.startswith("runwell.commands"):
        return True  # everything, inside the function that needs it: see test_the_command_line_imports_late
    if package == "runwell":
        return root == "runwell" and not target.startswith(("runwell.cli", "runwell.commands"))
    if package == "diagnostics":
        return root in {"diagnostics", "numpy", "scipy"}
    if package == "trainer":
        if module in PURE_TRAINER:
            return target in PURE_TRAINER
        return root in {
            "trainer",
            "runwell",
            "torch",
            "numpy",
            "tokenizers",
            "safetensors",
            "pynvml",
        } and not target.startswith(("runwell.cli", "runwell.commands"))
    if module.startswith("dashboard.ui"):
        return (
            root in {"diagnostics", "dash", "plotly", "dash_mantine_components", "dash_ag_grid", "flask", "numpy"}
            or (
                target.startswith("dashboard")
                and not target.startswith(
                    ("dashboard.tables", "dashboard.migrations", "dashboard.collector", "dashboard.api")
                )
            )
            or target in PURE_TRAINER | {"runwell.metrics"}
        )
    return root in FRAMEWORKS or root in {"dashboard", "diagnostics"} or target in PURE_TRAINER | RUNWELL_FOR_SERVER


@pytest.mark.parametrize(("module", "path"), list(modules()), ids=lambda value: value if isinstance(value, str) else "")
def test_every_import_follows_the_arrows(module: str, path: Path) -> None:
    wrong = sorted({target for target in imports(path) if not allowed(module, target)})
    assert not wrong, f"{module} may not import {wrong}; see docs/architecture.md"


def test_sql_stands_in_the_store_alone() -> None:
    users = {module for module, path in modules() if any(t.split(".")[0] == "sqlalchemy" for t in imports(path))}
    assert users, "the walk found nothing"
    assert not {module for module in users if module.startswith("dashboard.ui") or not module.startswith("dashboard.")}


def test_dash_stands_under_ui_alone() -> None:
    dash = {"dash", "dash_mantine_components", "dash_ag_grid"}
    users = {module for module, path in modules() if any(t.split(".")[0] in dash for t in imports(path))}
    assert users and all(module.startswith("dashboard.ui") for module in users), users


def test_the_command_line_imports_late() -> None:
    for module, path in modules():
        if module == "runwell.cli" or module.startswith("runwell.commands"):
            early = {t for t in imports(path, top_only=True) if t.split(".")[0] not in STDLIB | {"runwell"}}
            assert not early, f"{module} imports {early} at its top; do it inside the function"


def test_the_walk_sees_a_wrong_arrow(tmp_path: Path) -> None:
    file = tmp_path / "bad.py"
    file.write_text("def f():\n    from dashboard import store\n")
    assert not allowed("diagnostics.engine", next(imports(file)))
    assert not allowed("dashboard.store", "torch")
    assert not allowed("trainer.config", "numpy")
    assert not allowed("runwell.run", "numpy")
    assert not allowed("dashboard.watcher", "runwell.sender")
    assert not allowed("dashboard.ui.pages.run", "sqlalchemy")


def test_importing_the_sdk_loads_only_the_standard_library() -> None:
    code = (
        "import sys; before = set(sys.modules); import runwell;"
        "extra = {m.partition('.')[0] for m in set(sys.modules) - before} - set(sys.stdlib_module_names) - {'runwell'};"
        "print(sorted(m for m in extra if not m.startswith('_')))"
    )
    # -I -S: no site-packages at all, as in an environment that has only the SDK.
    out = subprocess.run(
        [sys.executable, "-I", "-S", "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r}); {code}"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert out.stdout.strip() == "[]"


def test_the_server_never_loads_torch() -> None:
    code = "import sys, dashboard.server, dashboard.app; print('torch' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert out.stdout.strip() == "False"
