"""Laws: the one of scale that the target's own code has, and the largest step of a rule that is known."""

from __future__ import annotations

from typing import Any

import numpy as np

from lrtheory.dims import Dimensions
from lrtheory.rules import Rule
from lrtheory.theory import NoLaw
from lrtheory.theory.bounds import largest_step

from ..comparing import demand, same
from ..outcome import Note, Skip, a_check
from ..runs import STEPS, Run, standard
from ..targets import Target, follow

#: Factors of the loss and of the parameters: powers of four, under which even square roots are exact.
SCALES = ((16.0, 1.0), (1.0, 0.25), (0.25, 64.0))


@a_check(
    "scaling-law",
    "Where units inference proves a law (how every hyperparameter changes when the loss or the parameters are multiplied), runs "
    "rescaled by powers of four obey it bit for bit. That no law holds is noted with the line that breaks it, and a "
    "failure only if one is claimed.",
)
def scaling_law(target: Target) -> None:
    """A law is claimed by ``claims_law``, or by a reference whose own law is proven."""
    found = _inferred(target)
    if found.status in ("broken", "unknown"):
        claimed = target.claims_law or _proven(target.reference)
        told = found.verdict if found.status == "unknown" else _first_break(found)
        demand(not (claimed and found.status == "broken"), f"a scaling law is claimed, but there is none: {told}")
        raise Note(f"no law: {told}")
    run = standard(target.shapes)
    plain = target.rescaled(found, run, 1.0, 1.0)
    demand(
        all(np.all(np.isfinite(v)) for v in plain.values()) and any(np.ptp(v) > 0 for v in plain.values()),
        "the run that would be rescaled does not move, or is not finite",
    )
    try:
        for loss, params in SCALES:
            other = target.rescaled(found, run, loss, params)
            expected = {n: params * v for n, v in plain.items()}
            same(other, expected, f"with the loss ×{loss:g} and the parameters ×{params:g} the law is not obeyed")
    except AssertionError as error:
        if found.status == "guarded":
            raise Note(f"a law with guards ({found.verdict}): {error}") from error
        raise


def _inferred(target: Target) -> Dimensions:
    try:
        return target.dimensions()
    except Skip:
        raise
    except Exception as error:
        raise Note(f"no law could be inferred: {(str(error).splitlines() or [type(error).__name__])[0]}") from error


def _proven(reference: Any) -> bool:
    try:
        return reference is not None and reference.dimensions().status == "proven"
    except (Skip, Exception):
        return False


def _first_break(found: Dimensions) -> str:
    broken = found.breaks[0]
    where = f"{broken.location.file.rpartition('/')[2]}:{broken.location.line}: " if broken.location else ""
    line = f" ({broken.location.source.strip()})" if broken.location else ""
    return f"{where}{broken.statement}{line}"


def sharp_bound(rule: Rule, hyper: Any) -> np.ndarray:
    """Of each step, decoupled decay aside: :func:`lrtheory.theory.bounds.largest_step`, shape (STEPS,)."""
    if "step_size_max" in rule.Hyper._fields:
        raise Skip(f"{STEPS} steps are too few to come near step_size_max, which bounds it")
    try:
        return np.array([largest_step(rule, hyper, t) for t in range(1, STEPS + 1)])
    except NoLaw as reason:
        raise Skip(f"no bound is known for its reference: {reason}") from reason


def streams(hyper: Any) -> tuple[np.ndarray, ...]:
    """Gradients of shape (STEPS,) that grow, that fall, that come after a lull, that stay and that turn.

    The first attains the bound of Adam at the last step, the second that of Adamax, the third those of RMSprop and Adagrad,
    the fourth that of rules that follow signs.
    """
    t = np.arange(1, STEPS + 1, dtype=np.float64)
    growth, forgotten = getattr(hyper, "beta1", 0.9) / getattr(hyper, "beta2", 0.99), getattr(hyper, "beta2", 0.99)
    return growth ** (STEPS - t), forgotten**t, np.where(t < STEPS, 1e-6, 1.0), np.ones(STEPS), (-1.0) ** t


@a_check(
    "step-bound",
    "For a known rule (Adam, RMSprop, Adamax, Adagrad, Lion, sign descent) no coordinate ever moves by "
    "more than the sharp bound of that rule (and by what decoupled decay takes), under the gradients that attain it.",
)
def step_bound(target: Target) -> None:
    """Gradients so large that eps is nothing beside them."""
    reference: Any = target if target.reference is None else target.reference  # a rule of ours is its own
    rule = getattr(reference, "rule", None)
    if rule is None:
        raise Skip("no bound is known for it: it has no reference with one")
    hyper = reference.hyper
    bound = sharp_bound(rule, hyper)
    # Coupled decay is part of the gradient, for which the bound holds whatever it is.
    decay = hyper.lr * getattr(hyper, "weight_decay", 0.0) if rule.array_rule.penalty is None else 0.0
    # Roundings of some ten operations; torch's NAdam keeps the product of its momenta in float32 (torch/optim/nadam.py, 2.13).
    rounding = 2.0**-22 if "momentum_decay" in rule.Hyper._fields else 1e-9
    for stream in streams(hyper):
        run = _constant_in_space(target, 1e6 * stream)
        for name, value in follow(target, run).items():
            steps = np.abs(np.diff(value, axis=0)).reshape(STEPS, -1).max(axis=1)
            decayed = decay * np.abs(value[:-1]).reshape(STEPS, -1).max(axis=1)
            over = np.flatnonzero(~(steps <= bound * (1 + rounding) + decayed))
            where = (
                f"step {over[0] + 1} moves {name} by {steps[over[0]]:.6g}, {steps[over[0]] / bound[over[0]]:.4g} "
                "times the sharp bound"
                if over.size
                else ""
            )
            demand(not over.size, where)


def _constant_in_space(target: Target, stream: np.ndarray) -> Run:
    run = standard(target.shapes)
    return Run(
        {n: np.zeros(s) for n, s in run.shapes.items()},
        {n: np.broadcast_to(stream.reshape(-1, *[1] * len(s)), (STEPS, *s)).copy() for n, s in run.shapes.items()},
        run.lrs,
    )
