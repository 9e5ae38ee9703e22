"""Launches runs: a queue with a limit, worker processes that outlive the server, and a look at every run each second.

Submit, stop and the look at all runs are methods that tests call directly; the thread only repeats `reconcile`. What a
run's facts mean is decided in `lifecycle`; what a worker's files hold is known to `workers` and `tail`.
"""

from __future__ import annotations

import logging
import os
import secrets
import threading
import time
from collections.abc import Callable, Mapping

from dashboard import present
from dashboard.environment import worker_environment
from dashboard.errors import StoreError, UnknownRun
from dashboard.keeper import Keeper
from dashboard.lifecycle import ASKED_TO_STOP, GIVEN_UP, STOPPING, Presence, waiting_reason
from dashboard.live import Hub
from dashboard.records import Run, State
from dashboard.settings import Settings
from dashboard.store import Store
from dashboard.tail import Ingest, append_last
from dashboard.workers import WorkerCommand, WorkerFolder, trainer_command
from trainer.config import TrainConfig

log = logging.getLogger(__name__)

INTERVAL_SECONDS = 1.0
_ALIVE = (State.STARTING, State.RUNNING, State.LOST)


class Launcher:
    """Starts, finds again, stops and judges the processes of runs. Thread-safe."""

    def __init__(
        self,
        store: Store,
        hub: Hub,
        settings: Settings,
        clock: Callable[[], float] = time.time,
        *,
        monotonic: Callable[[], float] | None = None,
        ingest: Ingest | None = None,
        environ: Mapping[str, str] | None = None,
        command: WorkerCommand = trainer_command,
    ) -> None:
        """`ingest` stores a batch and tells everyone who waits for it (the server gives `Collector.accept`); by default it only stores.

        `clock` gives seconds since 1970, `monotonic` seconds that only ever pass (a clock that is given stands for both
        unless told otherwise); `environ` is what workers inherit a part of (default: the server's own);
        `command` is what a worker runs.
        """
        self._store, self._hub, self._settings, self._clock = store, hub, settings, clock
        self._ingest: Ingest = ingest or store.append
        self._command = command
        self._environ = os.environ if environ is None else environ
        passing = monotonic or (time.monotonic if clock is time.time else clock)
        self._keeper = Keeper(
            store, settings.home, self._ingest, self._announce, clock, passing, clock(), settings.url
        )  # fmt: skip
        self._lock = threading.RLock()
        self._folders: dict[str, WorkerFolder] = {}
        self._holding: set[str] = set()
        self._complained: set[str] = set()
        self._wake, self._ending = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None

    # -- the thread --------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Find the workers of earlier servers again, then look at all runs every second."""
        self._find_again()
        self._thread = threading.Thread(target=self._repeat, name="launcher", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread. Workers go on, and are found again at the next start."""
        self._ending.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join()
        with self._lock:
            for folder in self._folders.values():
                folder.close()

    def _repeat(self) -> None:
        while not self._ending.is_set():
            try:
                self.reconcile()
            except Exception:
                # The store may be away for a moment; the loop must outlive that.
                log.exception("the look at the runs failed; it is tried again in a second")
            self._wake.wait(INTERVAL_SECONDS)
            self._wake.clear()

    # -- what people ask ---------------------------------------------------------------------------------------------

    def submit(self, config: TrainConfig, *, parent_id: str | None = None) -> Run:
        """Put a run into the queue; it starts when a place is free. Raises StoreError when its folder cannot be written."""
        with self._lock:
            run_id = self._new_id()
            folder = self._folder(run_id)
            try:
                folder.write_config(config.to_mapping())
            except OSError as error:
                raise StoreError(
                    f"{folder.path} cannot be written: {error.strerror or error}; nothing was launched"
                ) from None
            name = config.name or f"{config.preset} on {config.dataset}"
            run = self._store.create_run(
                run_id,
                project=config.project,
                name=name,
                config=config.to_mapping(),
                parent_id=parent_id,
                launched=True,
            )
            waiting = len(self._store.queued()) - 1
            run = self._store.set_state(run.id, State.QUEUED, reason=waiting_reason(waiting))
            self._folders[run_id] = folder
        self._announce(run_id)
        self._wake.set()
        return run

    def stop_run(self, run_id: str) -> Run:
        """End a run: one that waits is cancelled, one that runs is asked to write a checkpoint and end; one that is lost, and
        of no process that is known to live, has ended with that.

        A run that has ended is returned as it is. Raises UnknownRun.
        """
        with self._lock:
            run = self._store.run(run_id)
            if run.state.ended:
                return run
            if run.state is State.QUEUED:
                run = self._store.set_state(run_id, State.CANCELLED, reason="cancelled before it started")
                self._folders.pop(run_id, None)
            else:
                run = self._ask_to_stop(run)
        self._announce(run_id)
        self._wake.set()
        return run

    def active(self) -> list[Run]:
        """The launched runs that hold a place: their process lives, or is being started."""
        with self._lock:
            return [self._store.run(run_id) for run_id in sorted(self._holding)]

    def _ask_to_stop(self, run: Run) -> Run:
        if not any(command.kind == "stop" for command in self._store.pending_commands(run.id)):
            self._store.add_command(run.id, "stop", {})
        folder = self._folders.get(run.id)
        if folder is not None:
            folder.ask_to_stop(self._clock())  # the next look sends SIGTERM, also after a restart in between
        if run.state is State.LOST and not self._keeper.is_there(run, folder):
            event = {"type": "state", "state": State.STOPPED.value, "reason": GIVEN_UP, "time": self._clock()}
            append_last(run.id, event, self._ingest)
        reason = STOPPING if folder is not None else ASKED_TO_STOP
        run = self._store.run(run.id)  # it may have ended by itself meanwhile
        return run if run.state.ended else self._store.set_state(run.id, run.state, reason=reason)

    # -- the look at all runs ----------------------------------------------------------------------------------------

    def reconcile(self) -> None:
        """Look at every run that may change, then start what there is room for. One run's trouble costs only itself."""
        with self._lock:
            for run in self._to_look_at():
                self._guarded(run, self._look)
            queued = [run for run in self._store.queued() if self._mine(run)]
            free = max(0, self._settings.max_active_runs - len(self._holding))
            for run in queued[:free]:
                self._guarded(run, self._start)
            for position, run in enumerate(queued[free:]):
                if run.state_reason != waiting_reason(position):
                    self._store.set_state(run.id, State.QUEUED, reason=waiting_reason(position))
                    self._announce(run.id)

    def _to_look_at(self) -> list[Run]:
        found = {run.id: run for run in self._store.runs(states=_ALIVE)}
        for run_id in [run_id for run_id in self._folders if run_id not in found]:
            try:
                found[run_id] = self._store.run(run_id)
            except UnknownRun:
                self._forget(run_id)  # deleted
        return [run for run in found.values() if run.state is not State.QUEUED]

    def _look(self, run: Run) -> None:
        if run.launched and run.id not in self._folders and not self._folder(run.id).settled and self._mine(run):
            self._folders[run.id] = self._folder(run.id)
        folder = self._folders.get(run.id)
        if folder is not None and run.state is State.STARTING and not folder.claimed:
            # A server was killed between saying "starting" and doing it: the supervisor's claim makes twice harmless.
            self._spawn(run, folder)
        run, presence = self._keeper.look(run, folder)
        if folder is None:
            return
        if presence is Presence.ALIVE:
            self._holding.add(run.id)
        else:
            self._holding.discard(run.id)
        if folder.settled:
            self._forget(run.id)

    def _start(self, run: Run) -> None:
        folder = self._folders.setdefault(run.id, self._folder(run.id))
        self._store.set_state(run.id, State.STARTING, reason="starting its worker")
        self._spawn(run, folder)
        self._announce(run.id)

    def _spawn(self, run: Run, folder: WorkerFolder) -> None:
        settings = self._settings
        environment = worker_environment(
            self._environ, run_id=run.id, url=settings.url, home=settings.home,
            data=settings.data, token=settings.token,
        )  # fmt: skip
        try:
            if not folder.has_config:
                # The store may have been brought from elsewhere without its folders; the run's settings are in it too.
                folder.write_config(run.config)
            folder.start(environment)
            self._holding.add(run.id)
        except OSError as error:
            reason = f"its worker could not be started: {error.strerror or error} ({error.filename or folder.path})"
            append_last(
                run.id, {"type": "state", "state": "crashed", "reason": reason, "time": self._clock()}, self._ingest
            )
            self._forget(run.id)

    def _guarded(self, run: Run, action: Callable[[Run], None]) -> None:
        try:
            action(run)
            self._complained.discard(run.id)
        except Exception:
            # Whatever it is (a locked database, a full disk), it is this run's alone. Said once, not once a second.
            if run.id not in self._complained:
                log.exception("run %s cannot be looked after just now; it is tried again", run.id)
                self._complained.add(run.id)

    def _mine(self, run: Run) -> bool:
        """Whether this server starts and keeps that run: of several on one database, the one in whose home its folder lies."""
        return self._store.peers.alone or run.id in self._folders or self._folder(run.id).has_config

    # -- folders -----------------------------------------------------------------------------------------------------

    def _find_again(self) -> None:
        """Workers that an earlier server started: every folder whose end has not been taken up yet."""
        with self._lock:
            for path in sorted(self._settings.home.glob("runs/*/supervisor.json")):
                folder = WorkerFolder(path.parent, self._command)
                if not folder.settled:
                    self._folders[path.parent.name] = folder

    def _forget(self, run_id: str) -> None:
        folder = self._folders.pop(run_id, None)
        if folder is not None:
            folder.close()
        self._holding.discard(run_id)

    def _folder(self, run_id: str) -> WorkerFolder:
        return WorkerFolder(self._settings.home / "runs" / run_id, self._command)

    def _new_id(self) -> str:
        moment = time.strftime("%Y%m%d-%H%M%S", time.gmtime(self._clock()))
        return f"{moment}-{secrets.token_hex(3)}"

    def _announce(self, run_id: str) -> None:
        self._hub.publish_run(present.summary(self._store.summary(run_id)))
