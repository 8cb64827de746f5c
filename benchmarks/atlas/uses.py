"""How some optimizers are used beside calling their step, as their own documentation has it.

Each takes the class and gives what is read in its place; the docstring ends up among the notes of the optimizer.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any


def _named(used: Any, cls: type) -> Any:
    used.__name__, used.__qualname__, used.__module__ = cls.__name__, cls.__qualname__, cls.__module__
    return used


def warmed_up(cls: Any) -> Any:
    """It calls warmup_step() once, before the first step."""

    class Used(cls):
        def step(self, closure: Any = None) -> Any:
            if not self.state:
                self.warmup_step()
            return super().step(closure)

    return _named(Used, cls)


def sampled(cls: Any) -> Any:
    """Gradients are those at parameters that it samples."""

    class Used(cls):
        def step(self, closure: Any) -> Any:
            with self.sampled_params(train=True):
                closure()
            return super().step()

    return _named(Used, cls)


def fused_into_backward(cls: Any) -> Any:
    """Its fused_backward(loss, lr) is called in place of a step."""

    class Used(cls):
        def step(self, closure: Any) -> Any:
            return self.fused_backward(closure(), self.param_groups[0]["lr"])

    return _named(Used, cls)


def around_sgd_with_a_schedule_of_rho(cls: Any) -> Any:
    """Its base_optimizer is SGD, and its rho 0.05 at all times: chosen here."""

    class Used(cls):
        def step(self, closure: Any) -> Any:
            return super().step(lambda: (None, closure()))

    def make(params: Any, lr: float = 1e-3, rho: float = 0.05, alpha: float = 0.4, perturb_eps: float = 1e-12) -> Any:
        import torch

        base, scheduler = torch.optim.SGD(params, lr=lr), SimpleNamespace(step=lambda: rho)
        return Used(params, base, torch.nn.Module(), scheduler, alpha=alpha, perturb_eps=perturb_eps)

    return _named(make, cls)


def of_the_scaled_loss(cls: Any) -> Any:
    """Its optimizer is SGD: chosen here; its backward(loss) is called before each step."""

    class Used(cls):
        state = property(lambda self: self.optimizer.state)
        param_groups = property(lambda self: self.optimizer.param_groups)

        def step(self, closure: Any) -> Any:
            self.backward(closure())
            return super().step()

    def make(params: Any, lr: float = 1e-3) -> Any:
        import torch

        return Used(torch.optim.SGD(params, lr=lr))

    return _named(make, cls)


def matrices_apart(cls: Any) -> Any:
    """Its first argument is the matrices among the parameters."""
    _, *rest = inspect.signature(cls).parameters.values()

    def make(params: Any, **arguments: Any) -> Any:
        params = list(params)
        return cls([p for p in params if p.ndim > 1], params, **arguments)

    made: Any = _named(make, cls)
    made.__signature__ = inspect.Signature(rest)
    return made


#: Checks of what stands around the class there: it hands over closures, and takes lists of parameters and no groups.
BESIDE = ("tree", "closure", "param-groups", "add-param-group")
USES: Mapping[str, Callable[[Any], Any]] = {
    "adam_atan2_pytorch.MuonAdamAtan2": matrices_apart,
    "adam_atan2_pytorch.PolarAdamAtan2": matrices_apart,
    "ivon.IVON": sampled,
    "pytorch_optimizer.AdaLOMO": fused_into_backward,
    "pytorch_optimizer.GSAM": around_sgd_with_a_schedule_of_rho,
    "pytorch_optimizer.LOMO": fused_into_backward,
    "pytorch_optimizer.SafeFP16Optimizer": of_the_scaled_loss,
    "sgd_boost.SGD_boost": warmed_up,
}
