"""MLflow's server on an SQLite file, one worker; `log_metrics` waits for the answer, as it does unless told otherwise.

Poured with `log_batch`, 1,000 numbers a request (the most that it takes). A chart of its page asks for 320 points; the
server gives at most 2,500 a run.
"""

from __future__ import annotations

import json
import os
import time
import urllib.request
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

os.environ |= {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}

from mlflow import MlflowClient  # type: ignore[import-not-found]
from mlflow.entities import Metric  # type: ignore[import-not-found]

from benchmarks.peers.serving import answer, free_port, started
from benchmarks.peers.tool import NAMES, Log, Row

PACKAGES = ("mlflow",)
_PAGE_POINTS = 320
_BATCH = 1000


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """`mlflow server` on a free port."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = ["server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    store = ["--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--default-artifact-root", str(folder / "files")]
    with started("mlflow", [*command, *store], folder, lambda: answer(f"{url}/health") is not None):
        yield url


class _Log:
    def __init__(self, url: str) -> None:
        import mlflow

        mlflow.set_tracking_uri(url)
        self.run_id = mlflow.start_run().info.run_id
        self.log_metrics, self.end = mlflow.log_metrics, mlflow.end_run
        self.client = MlflowClient(url)

    def log(self, values: dict[str, float], step: int) -> None:
        self.log_metrics(values, step=step)

    def pour(self, rows: Iterable[Row]) -> None:
        now = int(time.time() * 1000)
        metrics = [Metric(name, value, now, step) for step, values in rows for name, value in values.items()]
        for start in range(0, len(metrics), _BATCH):
            self.client.log_batch(self.run_id, metrics=metrics[start : start + _BATCH])

    def finish(self) -> None:
        self.end()


def begin(folder: Path, url: str) -> Log:
    """A new run of the default experiment."""
    return _Log(url)


def kept(folder: Path, url: str) -> set[int]:
    """Steps that the whole history of every series has."""
    client = MlflowClient(url)
    run_id = _run(client)
    series = [{metric.step for metric in client.get_metric_history(run_id, name)} for name in NAMES]
    return set.intersection(*series)


def drawn(folder: Path, url: str) -> list[float]:
    """What the chart on its page asks for."""
    run_id = _run(MlflowClient(url))
    path = f"get-history-bulk-interval?run_ids={run_id}&metric_key={NAMES[0]}&max_results={_PAGE_POINTS}"
    with urllib.request.urlopen(f"{url}/ajax-api/2.0/mlflow/metrics/{path}", timeout=60) as answer:
        return [float(metric["value"]) for metric in json.loads(answer.read())["metrics"]]


LINE = ".js-plotly-plot .scatterlayer path.js-line"


@contextmanager
def page(folder: Path, url: str, points: int) -> Iterator[str]:
    """The charts of the run's metrics, each an SVG of plotly."""
    yield f"{url}/#/experiments/0/runs/{_run(MlflowClient(url))}/model-metrics"


def _run(client: MlflowClient) -> str:
    found: str = client.search_runs(["0"])[0].info.run_id
    return found


def size(folder: Path) -> int:
    """Its database."""
    return sum(path.stat().st_size for path in folder.glob("mlflow.db*"))
