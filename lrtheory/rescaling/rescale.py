"""What to set instead: numbers and state for another loss, other parameters, another batch, a run of another length."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ..groups import Groups, has_groups
from ..numbers import is_concrete
from ..rules import Rule
from ..theory.scaling import check_scale, rescaled_hyper, rescaled_state
from ..theory.stability import threshold
from ..wrappers import Wrapper, bare, innermost
from .batch import Answer, BatchRuleWarning, answer, changed_hyper, changed_state
from .change import Change
from .length import drifting_decay, held_decay, longer
from .per_group import per_group
from .per_tensor import per_tensor
from .result import Rescaled, of_scales, weakest


def rescale(
    rule: Rule | Wrapper | Groups,
    hyper: Any,
    *,
    loss: float = 1.0,
    params: float | Mapping[str, float] = 1.0,
    batch: float = 1.0,
    method: str | None = None,
    reduction: str | None = None,
    accumulation: float = 1.0,
    accumulation_reduction: str | None = None,
    world_size: float = 1.0,
    world_reduction: str | None = None,
    tokens: Sequence[int] = (),
    length: float = 1.0,
    hold: str | None = None,
) -> Rescaled:
    r"""Hyperparameters and state for another loss scale, parameter scale, batch, or length of the run, and all of them at once.

    Loss and parameters are rescaled by the units of each number: with :math:`L'(\theta') = loss \cdot L(\theta'/params)`,
    the run is the same but for its scale. For the batch see :mod:`lrtheory.rescaling.batch`: κ is what the number of examples of a
    step is multiplied by, which batch, accumulation and world_size make together. Each of them that is summed also makes the
    loss as many times as large, and both changes are made. Where κ is 1, as for a quarter of the batch four times, that is all,
    and exact.

    Parameters
    ----------
    rule : Rule, Wrapper or Groups
        Of groups each is rescaled by itself, and ``lr_scale`` stays; notes name the group.
    hyper : its numbers, from ``rule.hyper(...)``
    loss, params, batch : scale in (0, inf)
        What the loss, the parameters and the batch are multiplied by. ``params`` may be a mapping from tensors, by path, to
        factors: each is multiplied by its own, and divided by it again in the forward pass. Then ``.hyper`` is a mapping from
        those tensors to their hyperparameters; give each to a step of its own, or a group.
    method : {"linear", "sqrt", "sde", "half-life"}, optional
        How the batch is rescaled; the one derived for the rule unless given.
    reduction : {"mean", "sum"}, optional
        How the loss is made of those of the examples; the mean is assumed, and the notes say so.
    accumulation, world_size : scale in (0, inf)
        What the number of micro-batches in a step, and that of processes, are multiplied by, each with its batch as it was.
    accumulation_reduction, world_reduction : {"mean", "sum"}, optional
        How their gradients are brought together; as ``reduction`` unless given.
    tokens : sequence of int
        Tokens of each micro-batch or process, where the mean of their means becomes the mean over all tokens: the notes have
        what a token counts in one over what it counts in the other. Nothing else follows from it.
    length : scale in (0, inf)
        What the number of examples of the whole run is multiplied by, and with it what counts steps: hyperparameters here, a
        schedule by :func:`~lrtheory.rescale_schedule`.
    hold : "decay", optional
        Keep the time scale of weight decay, 1/(lr·weight_decay) steps, at the same share of the run, by another weight_decay.

    Returns
    -------
    Rescaled
        ``.hyper``, ``.state(state)``, ``.exactness`` and ``.notes``.

    Raises
    ------
    ValueError
        For a scale that is none, a rule without a law, a factor for one tensor where the rule takes tensors together, a batch
        size that the method cannot reach, or an argument that would do nothing. The message says what is impossible, why, and
        the nearest thing that can be done.

    Warns
    -----
    BatchRuleWarning
        For a method that is derived for another family of rules.

    References
    ----------
    Goyal et al. 2017 (1706.02677); Malladi et al. 2022 (2205.10287); docs/units.md.

    Examples
    --------
    >>> from lrtheory import rescale, rules
    >>> adam = rules.adam()
    >>> found = rescale(adam, adam.hyper(lr=0.5, eps=0.25), loss=8, batch=4, reduction="mean")
    >>> found.hyper.lr, found.hyper.eps, round(found.hyper.beta1, 6), found.exactness
    (1.0, 1.0, 0.6, 'statistical')

    LoRA's factor of 4 moved into B: B is four times as large, and so are its lr and, inverted, its eps.

    >>> found = rescale(adam, adam.hyper(lr=0.5, eps=0.25), params={"B": 4.0})
    >>> found.hyper["B"].lr, found.hyper["B"].eps, found.exactness
    (2.0, 0.0625, 'bitwise')
    """
    each = params if isinstance(params, Mapping) else None
    change = Change(
        loss, 1.0 if each is not None else params, batch, reduction, method,  # type: ignore[arg-type]
        accumulation, accumulation_reduction, world_size, world_reduction, tokens, length, hold,
    )  # fmt: skip
    if isinstance(rule, Groups) or has_groups(rule):
        if each is not None:
            raise ValueError(
                f"params={set(each)}: {rule!r} has groups. Nearest: a factor for all, or a change of each group by itself"
            )
        return per_group(rule, hyper, lambda one, own: _rescaled(one, own, change))
    if each is None:
        return _rescaled(rule, hyper, change)
    for name, factor in each.items():
        check_scale(f"params[{name!r}]", factor)
    return per_tensor(rule, each, lambda factor: _rescaled(rule, hyper, replace(change, params=factor)))


def _rescaled(rule: Rule | Wrapper, hyper: Any, change: Change) -> Rescaled:
    change.check()
    loss, params, batch = change.of_loss, change.params, change.examples
    notes: list[str] = []
    found, exactness, of_batch = hyper, of_scales(loss, params), None
    if change.accumulation != 1 and (every := _accumulates(rule)):
        raise ValueError(
            f"{rule!r}: accumulation={change.accumulation:g}: it accumulates by itself, over {every} calls. Nearest: batch=, with "
            "the number of calls written anew"
        )
    if batch != 1:
        of_batch = _answer(rule, hyper, batch, change.method)
        notes += of_batch.notes
        exactness = weakest(exactness, of_batch.exactness, "heuristic" if _clips(rule) else of_batch.exactness)
        if of_batch.warning:
            warnings.warn(of_batch.warning, BatchRuleWarning, stacklevel=3)
        found = _batch_hyper(rule, hyper, of_batch, batch, notes)
        notes += _margin(rule, hyper, found, batch, of_batch)
    notes += change.notes()
    found = rescaled_hyper(rule, found, loss=loss, params=params)
    if change.length != 1:
        found = longer(rule, found, change.length)
        exactness = weakest(exactness, "heuristic")
    if change.hold == "decay":
        found, note = held_decay(rule, hyper, found, change.steps)
        notes.append(note)
    elif change.length != 1:
        notes += drifting_decay(rule, hyper, found, change.steps)
    notes += _caveats(rule, loss, params)

    def state(given: Any) -> Any:
        changed = given if of_batch is None else _batch_state(rule, given, of_batch, batch)
        return rescaled_state(rule, changed, loss=loss, params=params)

    return Rescaled(rule, found, exactness, of_batch.method if of_batch else None, tuple(notes), state)


def _accumulates(rule: Any) -> int:
    """Over how many calls, 0 where it does not."""
    while isinstance(rule, Wrapper):
        if hasattr(rule, "every"):
            return rule.every  # type: ignore[attr-defined]
        rule = rule.rule
    return 0


def _answer(rule: Rule | Wrapper, hyper: Any, batch: float, method: str | None) -> Answer:
    """The answer of the rule inside all wrappers."""
    rule, hyper = innermost(rule, hyper)
    if not isinstance(rule, Rule) or not isinstance(hyper, rule.Hyper):
        rescaled_hyper(rule, hyper)  # says what is wrong
    return answer(rule, hyper, batch, method)


def _clips(rule: Rule | Wrapper) -> bool:
    """Whether gradients are clipped on their way, for which no batch rule is derived."""
    return isinstance(rule, Wrapper) and ("clip_value" in rule.Hyper._fields or "max_norm" in rule.Hyper._fields)


def _batch_hyper(rule: Rule | Wrapper, hyper: Any, of_batch: Answer, batch: float, notes: list[str]) -> Any:
    if not isinstance(rule, Wrapper):
        return changed_hyper(hyper, of_batch, batch)
    inner = _batch_hyper(rule.rule, rule.inner(hyper), of_batch, batch, notes)
    own = {name: getattr(hyper, name) for name in rule.numbers}
    for name, value in own.items():
        if name == "ema_decay":
            own[name] = value**batch
            notes.append(
                "ema_decay: ρ → ρ^κ keeps the average's memory in examples (Busbridge et al. 2023, 2307.13813)"
            )
        elif name in ("clip_value", "max_norm"):
            if of_batch.method != "linear":
                own[name] = value * batch**-0.5
            notes.append(
                f"{name}: "
                + ("divided by √κ, as gradients are where noise dominates" if of_batch.method != "linear" else "kept")
                + "; no rule is derived for clipping, so look at how often it acts"
            )
    return rule.Hyper(*inner, **own)


def _batch_state(rule: Rule | Wrapper, state: Any, of_batch: Answer, batch: float) -> Any:
    if isinstance(rule, Wrapper):
        return state._replace(rule=_batch_state(rule.rule, state.rule, of_batch, batch))
    return changed_state(state, of_batch.change, batch)


def _margin(rule: Rule | Wrapper, old: Any, new: Any, batch: float, of_batch: Answer) -> list[str]:
    """What is left of the room below the stability threshold."""
    (rule, old), (_, new) = innermost(rule, old), innermost(rule, new)
    if any(np.ndim(x) or not is_concrete(x) for hyper in (old, new) for x in hyper if x is not None):
        return []
    before, after = (threshold(rule, hyper).curvature for hyper in (old, new))
    if not before or before < 0 or after is None:
        return []
    if after <= 0:
        return ["stability: no curvature is stable with the new hyperparameters"]
    # What a preconditioned rule divides by shrinks as its eps does.
    shrunk = before / after * batch ** -of_batch.change.powers.get("eps", 0.0)
    text = f"stability: the largest curvature of the loss that is stable is {shrunk:.3g} times smaller; warm up"
    return [text] if shrunk > 1.01 else []


def _caveats(rule: Rule | Wrapper, loss: float, params: float) -> list[str]:
    """Where the law of this rule ends."""
    if loss == params == 1:
        return []
    inside = bare(rule)
    notes = [*inside.facts.caveats(loss, params)]
    if params != 1:
        notes.append(f"multiply the parameters by {params:g} when the change is made, and expect them to stay so")
    if loss != params and any(units.loss >= 2 for units in inside.units.values()):
        notes.append(
            "floating point: squares of gradients must not underflow (float32: below 3.4e-18 at beta2 = 0.999)"
        )
    return notes
