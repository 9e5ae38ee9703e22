"""The rule `crashed-run`: the run died, and of what."""

from __future__ import annotations

import math

from diagnostics import say
from diagnostics.deaths import Death, Ending, find_death, last_words, signal_of
from diagnostics.finding import Cause, Evidence, Remedy, Severity, Sighting
from diagnostics.rule import Life, rule
from diagnostics.samples import excerpt
from diagnostics.view import RunView


@rule(
    "crashed-run",
    needs=(),
    looks_at="end",
    helps=("train_loss",),
    blind="a crash is named, and of what, once it is known",
    severity=Severity.CRITICAL,
    life=Life(close_after_points=1),
)
def crashed_run(view: RunView, *, trailing: int = 1) -> Sighting | None:
    """The run died before its time; its last words say of what.

    ## What it means
    The process ended without saying that it had finished: an exception, a signal, a machine that gave up.

    ## Why it matters
    Nothing is learned from now on, and a run started again in the same way will die of the same.

    ## How it is detected
    The log says that the run crashed. The cause is read from the reason, from the last lines of the output, from the
    exit status (a signal is -9 or 137), and from the last losses: at least `trailing` of them not finite speak for a
    number that was none. A run that goes on afterwards (a resume) closes the finding. When one process of several
    crashes it is a warning, until the others are heard of again: they may be waiting for it for ever.

    ## Likely causes
    - Out of memory, on the GPU or on the machine.
    - A CUDA error, a full disk, a missing file, shapes that do not fit.
    - A check that stops at NaN.
    - SIGKILL: the system's memory killer, a time limit, a person.

    ## What to do
    - Do what the cause asks for, then resume from the last checkpoint.
    - Where no cause is named: read the last lines of the output.

    ## When it is wrong
    A script that ends with an error after its training was done is called crashed too.

    ## Options
    - `trailing` (1): non-finite losses at the end.

    ## Example
    Fires:
        train/loss: 4.2 3.6 3.1 2.8
        end: crashed exit_code=1 torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.
    Silent:
        train/loss: 4.2 3.6 3.1 2.8
        end: finished exit_code=0 all steps are done

    ## References
    - Zhang et al., OPT: Open Pre-trained Transformer Language Models, 2022: the logbook of a run that crashed and went on.
    """
    end = view.ending
    return None if end is None else _sighting(view, end, trailing)


def _sighting(view: RunView, end: Ending, trailing: int) -> Sighting:
    death = find_death(end)
    words = excerpt(last_words(end), 160)
    name = death.name if death is not None else "for no reason that its log tells"
    code = f" (exit status {end.exit_code})" if end.exit_code is not None else ""
    who = "A process of the run" if end.one_of_several else "The run"
    sentence = f"{who} crashed at step {say.step(view.step)}{code}" + (f": “{words}”" if words else ".")
    observed = math.nan if end.exit_code is None else float(end.exit_code)
    evidence = Evidence(series="state", window=(view.step, view.step), observed=observed, limit=0.0, sentence=sentence)
    return Sighting(
        severity=Severity.WARNING if end.one_of_several else Severity.CRITICAL,
        title=f"{'A process crashed' if end.one_of_several else 'Crashed'} at step {{since}}: {name}",
        first_step=view.step,
        evidence=(evidence,),
        causes=_causes(view, end, death, trailing),
        remedies=_remedies(view, death),
        confidence=0.95 if death is not None else 0.7,
    )


def _causes(view: RunView, end: Ending, death: Death | None, trailing: int) -> tuple[Cause, ...]:
    found = [Cause(death.name, death.why)] if death is not None else []
    loss = view.series.get("train_loss")
    if loss is not None and loss.nonfinite.trailing >= trailing:
        found.append(
            Cause("a number that is none", "the last loss was not finite: what follows may have tripped over it")
        )
    if death is None:
        number = signal_of(end.exit_code)
        told = f"signal {number}" if number else "no signal, no known error"
        found.append(Cause("unknown", f"{told}: read the last lines of the output"))
    return tuple(found)


def _remedies(view: RunView, death: Death | None) -> tuple[Remedy, ...]:
    last = view.checkpoint_before(view.step)
    if death is None:
        return (Remedy("Read the last lines of the output, then resume from the last checkpoint.", None, last),)
    return (Remedy(death.remedy, death.patch, last),)
