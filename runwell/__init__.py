"""Runwell's SDK: three lines that put any training run on the page. Standard library only.

import runwell
run = runwell.init(project="p", config={"learning_rate": 3e-4})
run.log({"train/loss": 3.1}, step=1)
run.finish()
"""

from __future__ import annotations

from runwell.api import NoRun, current, finish, init, log
from runwell.home import SettingError
from runwell.run import Run
from runwell.wire import BadEvent, WireError

__all__ = ["BadEvent", "NoRun", "Run", "SettingError", "WireError", "current", "finish", "init", "log"]
