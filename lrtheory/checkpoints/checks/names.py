"""Groups, names, shapes and hyperparameters: whether the state is that of these tensors."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from ...names import find
from ...names.torch import NAMES
from .._arrays import array, scalar
from ..checkpoint import Checkpoint, Key, places
from ..fault import Fault, Notes, some
from ..identified import Identified, by_group, slot_names

#: How closely a number that was kept in float32 is the one that was given.
FLOAT32 = 1e-6
RIGHT = "load it into an optimizer with the groups and the order of parameters that it was saved with"


def groups_in_order(of: Identified, checkpoint: Checkpoint, notes: Notes) -> Iterator[Fault]:
    """Torch numbers tensors group after group when it saves; state and groups have the same tensors."""
    keys = [key for group in of.saved.groups for key in group.keys]
    numbers = [key for key in keys if isinstance(key, int)]
    if len(numbers) == len(keys) and len(set(keys)) == len(keys) and keys != sorted(keys):
        text = f"The groups have tensors {_runs(of)}: torch numbers them group after group, so that groups or tensors were "
        text += "moved since."
        fix = "torch pairs groups by their place: put them back in the order of their numbers"
        yield Fault("groups-out-of-order", "proven", text, fix)
    if len(set(keys)) < len(keys):
        twice = [of.saved.name(key) for key, n in Counter(keys).items() if n > 1]
        yield Fault("in-two-groups", "proven", f"{some(twice)} is in two groups.", RIGHT, tuple(twice))
    stray = [of.saved.name(key) for key in of.saved.state if key not in set(keys)]
    if stray:
        text = f"The state has {some(stray)}, and no group has it."
        yield Fault("state-of-no-group", "proven", text, RIGHT, tuple(stray))
    yield from _swapped_numbers(of)
    notes.looked_at.append(
        f"{len(of.saved.groups)} group{'s' if len(of.saved.groups) != 1 else ''} of {len(keys)} tensors"
    )


def _runs(of: Identified) -> str:
    said = []
    for group in of.saved.groups:
        keys = [str(key) for key in group.keys]
        said.append(f"[{', '.join(keys[:4])}{', …' if len(keys) > 4 else ''}]")
    return " ".join(said[:4])


def _swapped_numbers(of: Identified) -> Iterator[Fault]:
    """Weight decay on the vectors alone is the usual pair of groups the wrong way round."""
    decayed, free = list[int](), list[int]()
    for number, tensors in by_group(of.tensors).items():
        dims = {len(t.shape) for t in tensors if t.shape is not None}
        decay = scalar(of.saved.groups[number].numbers.get("weight_decay", 0))
        if decay and dims and max(dims) <= 1:
            decayed.append(number)
        elif not decay and dims and min(dims) >= 2:
            free.append(number)
        elif decay:
            return
    if decayed and free:
        text = f"Group {decayed[0]} has only biases and scales and decays them, and group {free[0]} has the matrices and does "
        text += "not: the groups' hyperparameters are the wrong way round."
        fix = "swap them, or load the checkpoint into groups in the order in which they were saved"
        yield Fault("groups-swapped", "likely", text, fix, evidence={"decayed": decayed, "not decayed": free})


def names_fit(of: Identified, checkpoint: Checkpoint, notes: Notes) -> Iterator[Fault]:
    """Names are those of weights in the checkpoint, and shapes are theirs."""
    for number, group in enumerate(of.saved.groups):
        given = group.numbers.get("param_names")
        if given is not None and len(given) != len(group.keys):
            text = f"Group {number} has {len(group.keys)} tensors and {len(given)} names."
            yield Fault("names-do-not-fit", "proven", text, "give each tensor of a group one name")
    if not checkpoint.weights:
        notes.not_judged.append("names and shapes: the checkpoint has no weights to hold them against")
        return
    found, prefix = places(of.saved, checkpoint.weights)
    named = of.saved.names
    if prefix:
        notes.not_judged.append(f"names alone: on one side all begin with {prefix!r}")
    if unknown := [name for key, name in named.items() if key not in found]:
        text = f"{some(unknown)} is no weight of this checkpoint, which has {some(list(checkpoint.weights))}."
        fix = "the state is of another model, or its names were changed: map them before loading"
        yield Fault("wrong-names", "proven", text, fix, tuple(unknown))
    if twice := [name for name, n in Counter(found.values()).items() if n > 1]:
        text = f"Two tensors of the optimizer are called {some(twice)}."
        yield Fault("wrong-names", "proven", text, "give each tensor its own name", tuple(twice))
    yield from _shapes(of)
    if named:
        notes.looked_at.append(f"names and shapes of {len(named)} tensors beside the weights")
        return
    yield from _by_place(of, checkpoint, notes)


def _shapes(of: Identified) -> Iterator[Fault]:
    """Of tensors whose names are known."""
    wrong = []
    for tensor in of.tensors:
        if tensor.weight is None or tensor.refused or tensor.told in (None, ()):
            continue
        if tensor.told != tensor.weight.shape:
            wrong.append(tensor)
    if wrong:
        first = wrong[0]
        assert first.weight is not None
        text = (
            f"The state of {some([t.name for t in wrong])} has shape {first.told}, and the weight {first.weight.shape}."
        )
        fix = "state and names are of different tensors: " + RIGHT
        yield Fault("shapes-do-not-fit", "proven", text, fix, tuple(t.name for t in wrong))


def _by_place(of: Identified, checkpoint: Checkpoint, notes: Notes) -> Iterator[Fault]:
    """Shapes of tensors without names, beside those of the weights."""
    shapes: dict[Key, tuple[int, ...]] = {t.key: t.shape for t in of.tensors if t.shape not in (None, ())}  # type: ignore
    weights = [v.shape for value in checkpoint.weights.values() if (v := array(value)) is not None]
    have, need = Counter(weights), Counter(shapes.values())
    missing = [shape for shape, n in need.items() if n > have[shape]]
    if missing:
        names = [of.saved.name(key) for key, shape in shapes.items() if shape in missing]
        text = f"The optimizer has state of shape {missing[0]} for {some(names)}, and the weights have "
        text += f"{have[missing[0]] or 'none'} of that shape."
        fix = "the state is of another model: take both from one checkpoint"
        yield Fault("shapes-do-not-fit", "proven", text, fix, tuple(names))
        return
    if not checkpoint.ordered:
        notes.not_judged.append("the order of the tensors: the weights are not kept in the model's order")
        return
    for number, group in enumerate(of.saved.groups):
        own = [shapes[key] for key in group.keys if key in shapes]
        orders = (weights, weights[::-1], [tuple(checkpoint.weights[n].shape) for n in sorted(checkpoint.weights)])
        if not any(_is_subsequence(own, order) for order in orders):
            where = tuple(of.saved.name(key) for key in group.keys)
            yield Fault(
                "order-does-not-fit",
                "likely",
                f"The tensors of group {number} have shapes that the weights have in another order.",
                "the state is of other tensors than its places say, unless the group was made in an order of its own: "
                + RIGHT,
                where,
            )
    notes.looked_at.append("shapes and their order, beside the weights")
    notes.not_judged.append(
        "whether two tensors of one shape have each other's state: the optimizer has no names; give it named_parameters()"
    )


def _is_subsequence(own: list, whole: list) -> bool:
    rest = iter(whole)
    return all(any(shape == other for other in rest) for shape in own)


def options_fit(of: Identified, checkpoint: Checkpoint, notes: Notes) -> Iterator[Fault]:
    """The optimizer is what the user says."""
    if of.spec is None:
        return
    if of.saved.framework != "torch":
        yield from _other_state(of)
    elif of.kind:
        yield from _other_class(of)
        yield from _other_numbers(of)
    elif of.reason:
        notes.not_judged.append(f"whether it is {of.spec.text}: {of.reason}")


def _other_class(of: Identified) -> Iterator[Fault]:
    kind = of.kind.rpartition(".")[2]
    known = {name for t in of.tensors if not t.refused for name in t.raw}
    refused = [t for t in of.tensors if t.refused]
    if of.reason or (refused and not known):
        reason = of.reason or refused[0].refused
        text = f"This is no state of {of.spec.text if of.spec else kind}: {reason}."
        fix = "give --optimizer as the run has it, or leave it out"
        yield Fault("other-optimizer", "proven", text, fix)


def _other_state(of: Identified) -> Iterator[Fault]:
    """Of a framework whose state says itself what it keeps."""
    for tensor in of.tensors:
        if tensor.rule is None or of.spec is None:
            continue
        idle = {"buffer"} if not getattr(tensor.hyper, "momentum", 1) else set()
        absent = {*tensor.rule.array_rule.absent, *idle}
        missing = [
            n
            for slot, n in slot_names(of.saved.framework, tensor.rule).items()
            if n not in tensor.raw and slot not in absent
        ]
        if missing:
            text = (
                f"This is no state of {of.spec.text}: {tensor.name} has {', '.join(tensor.raw)}, and no {missing[0]}."
            )
            fix = "give --optimizer as the run has it, or leave it out"
            yield Fault("other-optimizer", "proven", text, fix, (tensor.name,))
            return


def _other_options(of: Identified) -> Iterator[Fault]:
    """Switches that torch keeps in the groups."""
    spec: Any = of.spec
    known = find(NAMES, spec.rule)
    if known is None:
        return
    rules = [tensors[0].rule for tensors in by_group(of.tensors).values() if tensors[0].rule is not None]
    for option, value in spec.rule.options.items():
        name = "decoupled_weight_decay" if option == "decoupled" else known.options.get(option, option)
        own = [rule.options[option] for rule in rules if option in rule.options]
        if name is not None and own and value not in own:
            text = f"{name} is {own[0]} in the checkpoint and {value} in {spec.text}."
            fix = "loading the state brings the checkpoint's value back, whatever the optimizer was made with"
            yield Fault("other-numbers", "likely", text, fix, evidence={name: own[0], "given": value})


def _other_numbers(of: Identified) -> Iterator[Fault]:
    spec: Any = of.spec
    yield from _other_options(of)
    rules = [(n, t[0].rule, t[0].hyper) for n, t in by_group(of.tensors).items() if t[0].hyper is not None]
    given = spec.hyper._asdict() if not isinstance(spec.hyper, Mapping) else spec.hyper
    for name, value in given.items():
        own = [getattr(hyper, name) for _, _, hyper in rules if name in hyper._fields]
        if name == "lr":
            own += [g.numbers["initial_lr"] for g in of.saved.groups if "initial_lr" in g.numbers]
        own = [float(v) for v in own if v is not None]
        if value is not None and own and not np.any(np.isclose(own, float(value), rtol=FLOAT32, atol=0)):
            text = f"{name} is {own[0]:g} in the checkpoint and {float(value):g} in {spec.text}."
            fix = "loading the state brings the checkpoint's number back, whatever the optimizer was made with"
            yield Fault("other-numbers", "likely", text, fix, evidence={name: own[0], "given": float(value)})
