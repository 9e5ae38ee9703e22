"""The rule `stalled-run`: a run that should speak and does not."""

from __future__ import annotations

from diagnostics import say
from diagnostics.finding import Cause, Evidence, Remedy, Severity, Sighting
from diagnostics.rule import Life, rule
from diagnostics.silence import Silence
from diagnostics.view import RunView


@rule(
    "stalled-run",
    needs=(),
    looks_at="silence",
    blind="a run that stands still cannot be seen",
    severity=Severity.WARNING,
    life=Life(close_after_points=3, farewell="over: points came again"),
)
def stalled_run(
    view: RunView,
    *,
    intervals: float = 10.0,
    longest: float = 2.0,
    least: float = 300.0,
    first: float = 900.0,
    critical: float = 1800.0,
) -> Sighting | None:
    """The run has fallen silent: no point comes, although it has not ended.

    ## What it means
    Training stands still. The process may live and even use the GPU, but no step gets done.

    ## Why it matters
    It can go on for a night: nothing crashes, nothing is learned, and the machine is paid for.

    ## How it is detected
    Nothing has come for longer than `intervals` times the median time between two points, `longest` times the longest
    silence before, and `least` seconds (`first` seconds before the first evaluation or checkpoint: it takes longer than
    anything before it). After `critical` seconds, and at least twice that limit, it is critical. Time is told by the
    events: of a live run the server says that nothing came, of a finished log the gap between two times says it. Ten
    intervals must be known. The time between an end, a crash or a rewind and a resume is no silence. It is over with the
    next point, and info from then on: in a finished log, which nobody waited for, a silence is history.

    ## Likely causes
    - A collective operation that one rank never entered: the others wait for it.
    - A data loader or a worker process of it that hangs; a remote disk that does not answer.
    - A machine that swaps, a GPU that has fallen off the bus.
    - A breakpoint, a paused job, a laptop that sleeps.

    ## What to do
    - See where it stands: `py-spy dump --pid PID`, and `nvidia-smi` for the GPU.
    - Stop it, and resume from the last checkpoint.
    - Give collectives and loaders a time limit, so that the next time it crashes with a reason.

    ## When it is wrong
    The first evaluation, checkpoint or compilation of a run whose steps take seconds may take longer than `first`; the
    same silence is then expected the next time. After a long stall a shorter one is not told any more. A machine that
    slept shows as a silence by its wall clock. Logs that a run was appended to without an event that says so, at the
    step where it left off, show the time between as a silence.

    ## Options
    - `intervals` (10): silence ÷ median time between points.
    - `longest` (2): silence ÷ longest silence before.
    - `least` (300): seconds.
    - `first` (900): seconds, before the first evaluation or checkpoint.
    - `critical` (1800): seconds after which it is critical.

    ## Example
    Fires:
        train/loss: 4.2 4.1 4.0 3.9 3.8 3.7 3.6 3.5 3.4 3.3 3.2 3.1
        time: 0 2 4 6 8 10 12 14 16 18 20 22
        clock: 2000
    Silent:
        train/loss: 4.2 4.1 4.0 3.9 3.8 3.7 3.6 3.5 3.4 3.3 3.2 3.1
        time: 0 2 4 6 8 10 12 14 16 18 20 22
        clock: 300

    ## References
    - Zhang et al., OPT: Open Pre-trained Transformer Language Models, 2022: hangs among the causes of restarts.
    """
    silence = view.silence
    if silence is None:
        return None
    floor = least if silence.evaluated else max(least, first)
    limit = max(intervals * silence.interval, longest * silence.longest, floor)
    if silence.seconds < limit:
        return None
    grave = silence.seconds >= max(critical, 2 * limit)
    return _sighting(view, silence, limit, Severity.CRITICAL if grave else Severity.WARNING)


def _sighting(view: RunView, silence: Silence, limit: float, severity: Severity) -> Sighting:
    loss = view.train or view.val
    long = say.duration(silence.seconds)
    told = "stood still for" if silence.over else "nothing for"
    sentence = (
        f"{'Nothing came' if silence.over else 'Nothing has come'} for {long} after step {say.step(view.step)}; "
        f"a point comes every {say.duration(silence.interval)}, and the longest silence before was {say.duration(silence.longest)}."
    )
    last = view.checkpoint_before(view.step)
    return Sighting(
        severity=severity,
        title=f"Stalled at step {{since}}: {told} {long}",
        first_step=view.step,
        evidence=(
            Evidence(
                series=loss.name if loss is not None else "time",
                window=(view.step, view.step),
                observed=silence.seconds,
                limit=limit,
                sentence=sentence,
            ),
        ),
        causes=(
            Cause("ranks that wait for each other", "one of them is gone, or took another way through the code"),
            Cause("data that does not come", "a loader process or a remote disk hangs"),
            Cause("a machine that stands still", "it swaps, it sleeps, or its GPU does not answer"),
        ),
        remedies=(
            Remedy("See where the process stands (`py-spy dump --pid PID`, `nvidia-smi`)."),
            Remedy("Stop it and resume from the last checkpoint.", None, last),
            Remedy("Give collectives and loaders a time limit, so that a hang becomes an error."),
        ),
        confidence=0.9 if severity is Severity.CRITICAL else 0.7,
        over=silence.over,
    )
