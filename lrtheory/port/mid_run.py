"""State in mid-run: from any framework, through our terms, into any other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from os import PathLike
from typing import Any, NamedTuple

import numpy as np

from ..adopting import AdoptError
from ..adopting.state_dict import is_state_dict
from ..rules import Rule
from ..spec import is_torch
from . import matching
from .errors import PortError
from .files import from_file
from .fresh import fresh
from .into_keras import KerasTarget
from .into_optax import OptaxTarget
from .into_ours import OurTarget
from .into_torch import TorchTarget
from .tensors import Source, Tensor, by_name, is_keras, taken


@dataclass(frozen=True)
class Ported:
    """A run as another framework has it.

    Attributes
    ----------
    framework : str
        ``"torch"``, ``"optax"``, ``"keras"`` or ``"lrtheory"``.
    state
        A state dict that ``load_state_dict`` takes; a state of the transformation; the arrays of a Keras optimizer in the order of
        its ``variables``; or a state of the rule, over a dict by name or the tree that was given.
    params
        The weights, by name or as the tree that was given; ``None`` where the source has none.
    optimizer
        What the state is for: the torch or Keras optimizer, the transformation, or our rule.
    hyper
        The numbers in force, of our rule; ``None`` elsewhere.
    names : mapping
        The source's name of each parameter → the target's.
    scheduler : dict or None
        The state dict of the torch scheduler that was given.
    notes : tuple of str
        What is for the training loop to do, and what was seen.
    """

    framework: str
    state: Any
    params: Any
    optimizer: Any
    names: Mapping[str, str]
    hyper: Any = None
    scheduler: dict[str, Any] | None = None
    notes: tuple[str, ...] = ()
    _target: Any = field(default=None, repr=False)
    _values: Mapping[str, np.ndarray] | None = field(default=None, repr=False)

    def load(self) -> None:
        """Put state, numbers in force and weights into the torch or Keras optimizer that was given."""
        self._target.load(self.state, self._values)


def state(
    source: Any,
    *,
    to: Any,
    names: Any = None,
    layouts: Any = None,
    params: Any = None,
    model: Any = None,
    steps: int | None = None,
    kind: str | None = None,
    scheduler: Any = None,
) -> Ported:
    """The state of an optimizer in mid-run, for another framework; neither source nor target is changed.

    Parameters
    ----------
    source
        A torch optimizer, its ``state_dict()``, or the path of a checkpoint with one; ``(transformation, state)`` or
        ``(transformation, state, params)`` of optax; a Keras optimizer; ``(rule, hyper, state)`` or ``(rule, hyper, state, params)`` of ours; or what
        :func:`lrtheory.adopt` returned.
    to
        A torch optimizer; a transformation of optax, or ``(transformation, params)``; a Keras optimizer that was built; a rule of
        ours, or ``"lrtheory"``. With ``"torch"``, ``"optax"`` or ``"keras"`` an optimizer with the source's numbers is made, over
        new parameters, and loaded: ``.optimizer`` of the answer.
    names
        What the parameters become: a mapping of names, or of regular expressions to replacements; a pair of pattern and
        replacement, or a list of them; a list of names in the source's order; or a function. ``None`` for the same names, whose
        parts may be joined by a dot or a slash.
    layouts : str or mapping, optional
        By name or pattern: ``"same"``, ``"linear"`` (a torch ``Linear.weight`` is a kernel turned), ``"conv"`` (torch's OIHW is
        HWIO elsewhere), or axes of the source in the order of the target. Unless given, a ``weight`` of torch that becomes a
        ``kernel`` is turned if only so its shape fits; where both ways fit it is refused.
    params
        The parameters, where the source does not hold them: by its names, or in order. Under the target's names they give
        tree, shapes and dtypes of the target.
    model : torch module, optional
        Gives names, and the layouts of linear and convolutional layers.
    steps : int, optional
        Steps taken, where the source keeps no count.
    kind : str, optional
        The class of a state dict whose fields do not say it.
    scheduler : torch scheduler, optional
        One of the torch optimizer in ``to`` that has not started: its state dict at this step is in the answer.

    Raises
    ------
    PortError
        For what has no counterpart, does not fit, would lose digits, or would not be the same run.
    TypeError
        For a source or target that is none.
    """
    if steps is not None and steps < 0:
        raise PortError(f"steps={steps}: it is how many steps were taken, 0 or more")
    if isinstance(source, (str, PathLike)):
        source, kept = from_file(source)
        params = kept if params is None else params
    made_here = to in FRESH if isinstance(to, str) else False
    target: Any = (
        Named(to) if made_here else _target(to, None if _of_source(source, params) else params, model, scheduler)
    )
    try:
        found = taken(
            source, params, model=model if target.framework != "torch" or to is source else None, kind=kind, steps=steps
        )
    except AdoptError as error:
        raise PortError(str(error)) from error
    shapes = target.shapes
    renamed = matching.matched(list(found.tensors), None if shapes is None else list(shapes), names)
    tensors = _turned(found, target, renamed, shapes, layouts, model)
    target = fresh(to, tensors, found.framework) if made_here else target
    around = (replace(a, over=tuple(renamed[name] for name in a.over if name in renamed)) for a in found.around)
    found = replace(found, around=tuple(around))
    written, notes = target.written(tensors, found)
    values = {name: tensor.value for name, tensor in tensors.items() if tensor.value is not None}
    complete = values if len(values) == len(tensors) else None
    if made_here and target.framework != "optax":
        target.load(written, complete)
    return Ported(
        target.framework,
        written,
        None if complete is None else target.weights(complete),
        target.optimizer,
        renamed,
        getattr(target, "hyper", None),
        target.scheduled(found) if isinstance(target, TorchTarget) else None,
        (*found.notes, *notes),
        target,
        complete,
    )


def _of_source(source: Any, params: Any) -> bool:
    """Whether parameters that are given are those of a state dict, and no tree of the target."""
    return params is not None and is_state_dict(source) and by_name(source, params) is not None


#: Frameworks in which an optimizer is made for the source.
FRESH = ("torch", "optax", "keras")


class Named(NamedTuple):
    """A target that is not made yet."""

    framework: str
    shapes: None = None


def _target(to: Any, params: Any, model: Any, scheduler: Any) -> Any:
    if isinstance(to, str) and to == "lrtheory":
        return OurTarget(None)
    if isinstance(to, Rule):
        return OurTarget(to)
    if is_torch(type(to)):
        return TorchTarget(to, model, scheduler)
    if is_keras(to):
        return KerasTarget(to)
    if isinstance(to, tuple) and len(to) == 2 and hasattr(to[0], "update"):
        return OptaxTarget(*to)
    if hasattr(to, "init") and hasattr(to, "update"):
        return OptaxTarget(to, params)
    raise TypeError(
        "to= is a torch optimizer, a transformation of optax, (transformation, params), a Keras optimizer, a rule, or one of torch, optax, keras and lrtheory, "
        f"not {to!r}"
    )


def _turned(
    found: Source,
    target: Any,
    renamed: Mapping[str, str],
    shapes: Mapping[str, tuple[int, ...]] | None,
    layouts: Any,
    model: Any,
) -> dict[str, Tensor]:
    """The source's tensors under the target's names and in its layout, in its order."""
    matching.check_layouts(layouts, renamed.items())
    sides = (found.framework == "torch", target.framework == "torch")
    torch_is_source = sides[0] if sides[0] != sides[1] else None
    of_module = matching.of_modules(model) if model is not None else lambda name: None
    tensors = {}
    for name, new in renamed.items():
        tensor = found.tensors[name]
        wanted = None if shapes is None else shapes[new]
        layout = matching.said(layouts, name, new)
        if layout is None and torch_is_source is not None:
            torch_name, other = (name, new) if torch_is_source else (new, name)
            layout = of_module(torch_name) if matching.last(other) == "kernel" else None
        if tensor.shape is None:  # nothing says what shape it has
            if layout not in (None, "same"):
                raise PortError(f"{name}: {tensor.rule!r} depends on the order of its coordinates, and is not turned")
            tensors[new] = tensor
            continue
        order = matching.axes(name, new, tensor.shape, wanted, layout, torch_is_source)
        if order != tuple(range(len(order))):
            if not tensor.is_elementwise:
                raise PortError(
                    f"{name}: a step of {tensor.rule!r} depends on which axis is which, so that its state is not turned; "
                    "keep the layout, as in layouts='same'"
                )
            tensor = tensor.turned(order)
        tensors[new] = tensor
    return tensors if shapes is None else {name: tensors[name] for name in shapes}
