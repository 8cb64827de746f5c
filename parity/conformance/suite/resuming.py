"""What was saved goes on as if nothing had happened."""

from __future__ import annotations

import copy
from typing import Any

from ..comparing import moved, same
from ..outcome import a_check
from ..runs import Run, standard
from ..targets import Target, going_on

SAVED_AT = 4


@a_check(
    "resume",
    "State written to a file after four steps (pickle of the arrays; torch.save, read with weights_only) and read into "
    "a fresh optimizer goes on bitwise, in parameters and state.",
    examples=6,
)
def resume(target: Target, run: Run) -> None:
    """Catches state that is kept elsewhere than in the state."""
    first = target.start(run.params)
    going_on(first, run, range(SAVED_AT))
    params, saved = first.params(), first.saved()
    rest = range(SAVED_AT, run.steps)
    expected = going_on(first, run, rest)
    second = target.resume(saved, params)
    same(going_on(second, run, rest), expected, "a resumed run differs")
    same(second.state(), first.state(), "the state of a resumed run differs")
    if run.code() == standard(target.shapes).code():
        moved(expected)


@a_check(
    "state-dict",
    "The state_dict of a running optimizer, loaded into a fresh one, brings its state and a changed lr: both go on "
    "bitwise alike.",
    kinds=("torch",),
    examples=6,
)
def state_dict(target: Any, run: Run) -> None:
    """The lr is halved before it is saved, as a scheduler would."""
    first = target.start(run.params)
    going_on(first, run, range(SAVED_AT))
    for group in first.optimizer.param_groups:
        if isinstance(group.get("lr"), float):
            group["lr"] *= 0.5
    params = first.params()
    second = target.start(params)
    second.optimizer.load_state_dict(copy.deepcopy(first.optimizer.state_dict()))
    rest = range(SAVED_AT, run.steps)
    expected = going_on(first, run, rest)
    same(going_on(second, run, rest), expected, "an optimizer that loaded the state_dict differs")
    same(second.state(), first.state(), "the state of an optimizer that loaded the state_dict differs")
