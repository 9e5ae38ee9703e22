"""A worker's environment is short and explicit, and its trainer is ours whatever lies in its working folder."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from dashboard.environment import source_root, worker_environment
from dashboard.workers import trainer_command


def environment(environ: dict[str, str], **changes: Any) -> dict[str, str]:
    given: dict[str, Any] = {
        "run_id": "r-1",
        "url": "http://127.0.0.1:1",
        "home": Path("/h"),
        "data": Path("/d"),
        "token": None,
    }
    return worker_environment(environ, **given | changes)


def test_it_says_who_where_and_to_whom() -> None:
    found = environment({}, token="secret-enough")
    assert found["RUNWELL_RUN_ID"] == "r-1" and found["RUNWELL_URL"] == "http://127.0.0.1:1"
    assert (found["RUNWELL_HOME"], found["RUNWELL_DATA"], found["RUNWELL_TOKEN"]) == ("/h", "/d", "secret-enough")
    assert "RUNWELL_TOKEN" not in environment({"RUNWELL_TOKEN": "of somebody else"})


@pytest.mark.parametrize(
    "name", ["PATH", "HOME", "LC_ALL", "CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS", "RUNWELL_SPOOL_MIB"]
)
def test_what_steers_a_worker_goes_along(name: str) -> None:
    assert environment({name: "value"})[name] == "value"


@pytest.mark.parametrize(
    "name",
    ["AWS_SECRET_ACCESS_KEY", "HF_TOKEN", "CUDA_API_KEY", "PYTORCH_PASSWORD", "RUNWELL_DATABASE_URL", "PYTHONSTARTUP"],
)
def test_nothing_else_does(name: str) -> None:
    assert name not in environment({name: "value"})


def test_the_servers_own_values_win() -> None:
    assert environment({"RUNWELL_RUN_ID": "another", "PYTHONUNBUFFERED": ""})["RUNWELL_RUN_ID"] == "r-1"


@pytest.mark.slow
def test_a_trainer_in_the_working_folder_does_not_take_the_place_of_ours(tmp_path: Path) -> None:
    (tmp_path / "trainer.py").write_text("print('somebody else')")
    config = tmp_path / "config.json"
    config.write_text('{"n_layers": 1}')
    ours = environment({}, home=tmp_path, data=tmp_path)
    done = subprocess.run(trainer_command(config), cwd=tmp_path, env=ours, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "somebody else" not in done.stdout
    assert "n_layers" in done.stderr and "did you mean 'n_layer'" in done.stderr


def test_packages_are_found_from_a_checkout_and_from_an_install(monkeypatch: pytest.MonkeyPatch) -> None:
    root = Path(__file__).resolve().parents[2]
    assert source_root() == root, "the tests run from a checkout"
    monkeypatch.setattr("sysconfig.get_path", lambda name: str(root))
    assert source_root() is None and "PYTHONPATH" not in environment({})
    assert sys.version_info >= (3, 11)
