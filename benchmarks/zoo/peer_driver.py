"""Runs under an interpreter that has `trainproof` and `training-doctor`, and asks both about each run. Nothing of ours is imported.

Standard input: one JSON object a run, `{"name": …, "rows": [{"step", "loss", "eval_loss", "lr", "grad_norm", …}, …]}`. Standard
output: one for each, `{"name": …, "trainproof": [[word, row], …], "training-doctor": […]}`; a row is the index of the one after
which the word was said.
"""

from __future__ import annotations

import contextlib
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

Row = dict[str, float]
Said = list[tuple[str, int]]


def trainproof(rows: list[Row], folder: Path) -> Said:
    """Its `epoch` check of the finished log, as `trainproof epoch LOG` does it; it judges whole logs only."""
    from trainproof.epoch import check_epoch  # type: ignore[import-not-found]

    path = folder / "log.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    findings: list[dict[str, Any]] = check_epoch(path)["findings"]
    return [(finding["id"], len(rows) - 1) for finding in findings if finding["level"] in ("WARN", "FAIL")]


def training_doctor(rows: list[Row]) -> Said:
    """Its `Doctor` with the default detectors, told row by row as in a training loop; what it says at info is left out."""
    from training_doctor import Doctor  # type: ignore[import-not-found]

    doctor = Doctor()
    said: dict[str, int] = {}
    for at, row in enumerate(rows):
        metrics = {name: row[name] for name in ("loss", "lr", "grad_norm", "eval_loss") if name in row}
        for diagnosis in doctor.log(step=int(row["step"]), **metrics):
            if diagnosis.severity.value != "info":
                said.setdefault(diagnosis.detector_name, at)
    return list(said.items())


def main() -> None:
    """Answer line by line."""
    with tempfile.TemporaryDirectory() as folder:
        for line in sys.stdin:
            run = json.loads(line)
            with contextlib.redirect_stdout(sys.stderr):
                answer = {
                    "trainproof": trainproof(run["rows"], Path(folder)),
                    "training-doctor": training_doctor(run["rows"]),
                }
            print(json.dumps({"name": run["name"], **answer}), flush=True)


if __name__ == "__main__":
    main()
