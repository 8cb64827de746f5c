"""State for a Keras optimizer that was built: one array for each of its variables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..adopting.in_keras import adopt_keras, distinct, inner, to_numpy
from ..names import entry, keras
from .errors import PortError
from .targets import SAME_NUMBER, back, counted, exactly, known, same_around, same_numbers, same_rule
from .tensors import Source, Tensor, stated


class KerasTarget:
    """A built optimizer, which is not changed before :meth:`load`."""

    framework = "keras"

    def __init__(self, optimizer: Any) -> None:
        optimizer = inner(optimizer)
        if not optimizer.built:
            raise PortError(
                "the Keras optimizer has no variables yet: call optimizer.build(model.trainable_variables) first"
            )
        self.optimizer = optimizer
        self.found = adopt_keras(optimizer, arrays=False)
        variables = list(optimizer._trainable_variables)
        self.variables = dict(zip(distinct([v.path for v in variables]), variables, strict=True))

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Of its parameters, by their paths."""
        return {name: tuple(v.shape) for name, v in self.variables.items()}

    def written(self, tensors: Mapping[str, Tensor], source: Source) -> tuple[list[np.ndarray], tuple[str, ...]]:
        """Arrays in the order of ``optimizer.variables``, and notes."""
        own = {id(v): to_numpy(v) for v in self.optimizer.variables}
        place = lambda variable, value, what: own.__setitem__(  # noqa: E731
            id(variable), exactly(value, own[id(variable)].dtype, what).reshape(own[id(variable)].shape)
        )
        for group in self.found.groups:
            for name in group.names:
                same_rule(name, tensors[name], group.rule, group.reason)
        count = counted(source, "Keras")
        for group in self.found.groups:
            for name in group.names:
                tensor = tensors[name]
                same_numbers(name, tensor, stated(self.optimizer, group), skip=("lr",))
                self._place(name, tensor, count, place)
        notes = self._epsilon(tensors)
        place(self.optimizer._iterations, count * (self.optimizer.gradient_accumulation_steps or 1), "iterations")
        self._lr(tensors, count, place)
        return [own[id(v)] for v in self.optimizer.variables], (
            *notes,
            *same_around(source, self.found.around, "keras", tensors),
        )

    def _epsilon(self, tensors: Mapping[str, Tensor]) -> tuple[str, ...]:
        """That its eps is another at each step."""
        first = next(iter(tensors.values()))
        if not (entry(keras.NAMES, first.rule).before_correction and first.hyper.eps):
            return ()
        return (
            "Keras adds epsilon to √v before the correction of v, so that the next steps are not quite the same; with eps=0 they are",
        )

    def _place(self, name: str, tensor: Tensor, count: int, place: Any) -> None:
        """What is kept of one parameter."""
        table, index = entry(keras.NAMES, tensor.rule), self.optimizer._get_variable_index(self.variables[name])
        if tensor.count not in (None, count, 0 if table.starts_late else None):
            raise PortError(f"Keras keeps one count for all parameters: {name} has {tensor.count} and others {count}")
        if not table.lists:
            raise PortError(f"{name}: the state of keras.optimizers.{table.optimizer} is not written")
        keys = {suffix: slot for slot, suffix in table.state.items()}
        derived = {d.key: (slot, d) for slot, d in table.derived.items() if d.back is not None}
        for attribute, suffix in table.lists.items():
            kept = getattr(self.optimizer, attribute, None)
            if kept is None or (isinstance(kept, (list, tuple)) and not kept):
                continue
            variable = kept[index] if isinstance(kept, (list, tuple)) else kept
            slot = keys.get(suffix) or derived[suffix][0]
            if getattr(tensor.state, slot) is None or (slot == "buffer" and not tensor.hyper.momentum) or not count:
                continue
            known(name, tensor, slot)
            value = getattr(tensor.state, slot) if suffix in keys else back(name, tensor, *derived[suffix])
            place(variable, value, f"{name}: {suffix}")

    def _lr(self, tensors: Mapping[str, Tensor], count: int, place: Any) -> None:
        """The lr in force: into its variable, or what a schedule must come to."""
        lrs = {tensor.hyper.lr for tensor in tensors.values()}
        if len(lrs) > 1:
            raise PortError(f"lr differs between parameters, and Keras has one for all: {sorted(lrs)}")
        lr = lrs.pop()
        rate = self.optimizer._learning_rate
        if hasattr(rate, "assign"):
            dtype = to_numpy(rate).dtype
            place(rate, np.asarray(lr, np.float64).astype(dtype), "lr")
            return
        theirs = float(to_numpy(rate(count)))
        if not np.isclose(lr, theirs, rtol=SAME_NUMBER, atol=0):
            raise PortError(
                f"lr is {lr:.10g} now in the source, and the target's schedule comes to {theirs:.10g} at step {count}"
            )

    def weights(self, values: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """By the paths of the variables."""
        return {n: exactly(v, to_numpy(self.variables[n]).dtype, n) for n, v in values.items()}

    def load(self, state: Any, values: Mapping[str, np.ndarray] | None) -> None:
        """Into its variables, and weights into those it trains."""
        for variable, value in zip(self.optimizer.variables, state, strict=True):
            variable.assign(value)
        for name, value in (values or {}).items():
            self.variables[name].assign(value)
