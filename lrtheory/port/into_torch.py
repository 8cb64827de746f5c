"""State for a torch optimizer: a state dict that it loads."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..adopting.in_torch import adopt_torch, to_numpy, to_torch
from ..names import entry
from ..names.torch import NAMES
from .errors import PortError
from .targets import SAME_NUMBER, counted, exactly, known, same_around, same_numbers, same_rule
from .tensors import Source, Tensor


class TorchTarget:
    """A live optimizer, which is not changed before :meth:`load`."""

    framework = "torch"

    def __init__(self, optimizer: Any, model: Any = None, scheduler: Any = None) -> None:
        self.optimizer, self.scheduler = optimizer, scheduler
        self.found = adopt_torch(optimizer, model, arrays=False)
        params = [p for group in optimizer.param_groups for p in group["params"]]
        names = [name for group in self.found.groups for name in group.names]
        self.params = dict(zip(names, params, strict=True))

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Of its parameters, by name."""
        return {name: tuple(p.shape) for name, p in self.params.items()}

    def written(self, tensors: Mapping[str, Tensor], source: Source) -> tuple[dict[str, Any], tuple[str, ...]]:
        """The state dict, and notes."""
        saved = self.optimizer.state_dict()
        saved = {**saved, "state": {}, "param_groups": [dict(group) for group in saved["param_groups"]]}
        for group, own, live in zip(saved["param_groups"], self.found.groups, self.optimizer.param_groups, strict=True):
            for name, key in zip(own.names, group["params"], strict=True):
                same_rule(name, tensors[name], own.rule, own.reason)
                same_numbers(name, tensors[name], tensors[own.names[0]].hyper)
                entry = self._kept(name, tensors[name], live)
                if entry:
                    saved["state"][key] = entry
            if own.names:
                self._set(group, tensors[own.names[0]], live)
        return saved, same_around(source, (), "torch")

    def _set(self, group: dict[str, Any], tensor: Tensor, live: Mapping[str, Any]) -> None:
        """A group's numbers in force."""
        for argument, value in entry(NAMES, tensor.rule).arguments(tensor.rule.options, tensor.hyper).items():
            if argument in group and isinstance(value, (float, tuple)):
                old = live[argument]
                group[argument] = old.new_tensor(value).reshape(old.shape) if hasattr(old, "new_tensor") else value

    def _kept(self, name: str, tensor: Tensor, live: Mapping[str, Any]) -> dict[str, Any]:
        """``optimizer.state[p]``."""
        import torch

        names = entry(NAMES, tensor.rule)
        if tensor.state.t == 0 and not names.from_the_start:
            return {}
        p, kept = self.params[name], {}
        counts = (
            torch.float64 if torch.get_default_dtype() == torch.float64 and not live.get("fused") else torch.float32
        )
        for slot, key in names.state.items():
            value = getattr(tensor.state, slot)
            if value is None or (slot == "buffer" and not getattr(tensor.hyper, "momentum", 1)):
                continue
            known(name, tensor, slot)
            what = f"{name}: {key}"
            if slot == "t" and names.whole_count:
                kept[key] = int(value)
                continue
            if slot == "t":
                kept[key] = to_torch(exactly(value, np.float64 if counts == torch.float64 else np.float32, what))
                if live.get("fused") or live.get("capturable"):
                    kept[key] = kept[key].to(p.device)
                continue
            own = to_numpy(p.detach().new_empty(0)).dtype
            kept[key] = to_torch(exactly(value, own, what)).to(p.device)
        for slot, derived in names.derived.items():
            known(name, tensor, slot)
            assert derived.back is not None
            value = derived.back(np.asarray(getattr(tensor.state, slot), np.float64), tensor.hyper)
            kept[derived.key] = to_torch(value).to(dtype=p.dtype, device=p.device)
        return kept

    def weights(self, values: Mapping[str, np.ndarray]) -> dict[str, Any]:
        """Tensors by name."""
        dtype = lambda name: to_numpy(self.params[name].detach().new_empty(0)).dtype  # noqa: E731
        return {name: to_torch(exactly(value, dtype(name), name)) for name, value in values.items()}

    def load(self, state: Mapping[str, Any], values: Mapping[str, np.ndarray] | None) -> None:
        """Into the optimizer, and weights into its parameters."""
        import torch

        self.optimizer.load_state_dict(copy.deepcopy(state))
        for name, value in (values or {}).items():
            with torch.no_grad():
                self.params[name].copy_(to_torch(value))

    def scheduled(self, source: Source) -> dict[str, Any] | None:
        """The scheduler's state dict at the source's step, if it comes to the lr in force there."""
        if self.scheduler is None:
            return None
        return position_of(self.scheduler, source)


def position_of(scheduler: Any, source: Source) -> dict[str, Any]:
    """The state dict of a scheduler that has taken as many steps as the source."""
    steps = counted(source, "the scheduler")
    moved = copy.deepcopy(scheduler)
    if moved.last_epoch > steps:
        raise PortError(
            f"the scheduler is at step {moved.last_epoch} and the source at {steps}: give one that has not started"
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(steps - moved.last_epoch):
            moved.step()
    lrs = [float(group["lr"]) for group in moved.optimizer.param_groups]
    ours = [tensor.hyper.lr for tensor in source.tensors.values()]
    for lr in {*ours}:
        if not any(np.isclose(lr, other, rtol=SAME_NUMBER, atol=0) for other in lrs):
            raise PortError(
                f"lr is {lr:.10g} now in the source, and the scheduler comes to {lrs[0]:.10g} at step {steps}"
            )
    return moved.state_dict()
