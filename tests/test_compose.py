"""The containers: the compose file is whole, names no secret, and the image copies every package that is installed."""

from __future__ import annotations

import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parent.parent
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())


def test_server_and_gpu_worker_are_there() -> None:
    server, worker = COMPOSE["services"]["server"], COMPOSE["services"]["worker"]
    assert worker["profiles"] == ["gpu"], "a plain `up` must not want a GPU"
    devices = worker["deploy"]["resources"]["reservations"]["devices"]
    assert devices == [{"driver": "nvidia", "count": 1, "capabilities": ["gpu"]}]
    assert server["ports"] == ["127.0.0.1:8420:8420"], "published on loopback only"
    assert "${RUNWELL_TOKEN:-}" in server["environment"]["RUNWELL_TOKEN"], "no token is written into the file"


def test_every_named_volume_is_declared() -> None:
    used = {entry.split(":")[0] for service in COMPOSE["services"].values() for entry in service.get("volumes", [])}
    assert used == set(COMPOSE["volumes"])


def test_the_image_holds_every_package() -> None:
    text = (ROOT / "Dockerfile").read_text()
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]["find"]["include"]
    assert all(f"COPY {name.rstrip('*')} {name.rstrip('*')}" in text for name in packages)
    assert "USER runwell" in text, "the server does not run as root"


def test_docker_accepts_the_file() -> None:
    compose = ["docker-compose"] if shutil.which("docker-compose") else ["docker", "compose"]
    if shutil.which(compose[0]) is None or subprocess.run([*compose, "version"], capture_output=True).returncode:
        pytest.skip("no docker compose on this machine")
    done = subprocess.run([*compose, "-f", str(ROOT / "docker-compose.yml"), "config"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
