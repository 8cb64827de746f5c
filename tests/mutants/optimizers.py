"""PyTorch optimizers with one thing broken, and the two sound ones that they are made from."""

# each class says what it breaks, and its methods break it

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


class HeavyBall(torch.optim.Optimizer):
    """SGD with momentum and decoupled decay, as a user would write it; subclasses break one of its parts."""

    def __init__(self, params: Any, lr: float = 0.1, momentum: float = 0.9, weight_decay: float = 0.0) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # type: ignore[override]
        """One step."""
        loss = self.evaluated(closure)
        with torch.no_grad():
            for group in self.param_groups:
                for p in group["params"]:
                    self.visit(p, group)
        return loss

    def evaluated(self, closure: Callable[[], Any] | None) -> Any:
        """The loss, with gradients."""
        if closure is None:
            return None
        with torch.enable_grad():
            return closure()

    def visit(self, p: Tensor, group: dict[str, Any]) -> None:
        """One parameter."""
        if p.grad is None:
            return
        p.mul_(1 - self.rate(group) * group["weight_decay"])
        self.move(p, self.direction(p, p.grad, self.state[p], group), self.rate(group))

    def rate(self, group: dict[str, Any]) -> float:
        """The lr of a group."""
        return group["lr"]

    def move(self, p: Tensor, direction: Tensor, lr: float) -> None:
        """The update in place."""
        p.add_(direction, alpha=-lr)

    def direction(self, p: Tensor, g: Tensor, state: Any, group: dict[str, Any]) -> Tensor:
        """The buffer after this gradient."""
        if "buffer" not in state:
            state["buffer"] = torch.zeros_like(p)
        state["buffer"].mul_(group["momentum"]).add_(g)
        return state["buffer"]


class Adam(HeavyBall):
    """Adam with fixed decay rates."""

    def __init__(self, params: Any, lr: float = 0.1, eps: float = 1e-8) -> None:
        torch.optim.Optimizer.__init__(self, params, {"lr": lr, "eps": eps, "weight_decay": 0.0})

    def direction(self, p: Tensor, g: Tensor, state: Any, group: dict[str, Any]) -> Tensor:
        """The average over the root."""
        if "t" not in state:
            state.update(t=torch.zeros(()), m=torch.zeros_like(p), v=torch.zeros_like(p))
        state["t"] += 1
        state["m"].lerp_(g, 0.1)
        state["v"].mul_(0.999).addcmul_(g, g, value=0.001)
        return self.quotient(state["m"], state["v"], float(state["t"]), group["eps"])

    def quotient(self, m: Tensor, v: Tensor, t: float, eps: float) -> Tensor:
        """With both bias corrections."""
        return m / (1 - 0.9**t) / ((v / (1 - 0.999**t)).sqrt() + eps)


class StateBeside(HeavyBall):
    """Keeps its buffers in an attribute of its own, which no state_dict holds."""

    def __init__(self, params: Any, lr: float = 0.1) -> None:
        super().__init__(params, lr)
        self.buffers: dict[Tensor, dict[str, Any]] = {}

    def direction(self, p: Tensor, g: Tensor, state: Any, group: dict[str, Any]) -> Tensor:
        return super().direction(p, g, self.buffers.setdefault(p, {}), group)


class LrReadOnce(HeavyBall):
    """Reads the lr at construction only."""

    def __init__(self, params: Any, lr: float = 0.1) -> None:
        super().__init__(params, lr)
        self.lr = lr

    def rate(self, group: dict[str, Any]) -> float:
        return self.lr


class LrOneStepLate(HeavyBall):
    """Takes each step with the lr of the step before."""

    def rate(self, group: dict[str, Any]) -> float:
        return group.get("used", group["lr"])

    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # type: ignore[override]
        loss = super().step(closure)
        for group in self.param_groups:
            group["used"] = group["lr"]
        return loss


class GroupsNotLoaded(HeavyBall):
    """Loads state but keeps its own lr."""

    def load_state_dict(self, state_dict: Any) -> None:
        lrs = [group["lr"] for group in self.param_groups]
        super().load_state_dict(state_dict)
        for group, lr in zip(self.param_groups, lrs, strict=True):
            group["lr"] = lr


class Noisy(HeavyBall):
    """Adds noise from torch's global generator."""

    def direction(self, p: Tensor, g: Tensor, state: Any, group: dict[str, Any]) -> Tensor:
        return super().direction(p, g, state, group) + 1e-3 * torch.randn_like(p)


class Seeding(HeavyBall):
    """Seeds torch's global generator so that its own noise is the same every time."""

    def direction(self, p: Tensor, g: Tensor, state: Any, group: dict[str, Any]) -> Tensor:
        torch.manual_seed(0)
        return super().direction(p, g, state, group) + 1e-3 * torch.randn_like(p)


class Printing(HeavyBall):
    """Tells its progress."""

    def visit(self, p: Tensor, group: dict[str, Any]) -> None:
        print("step", group["lr"])
        super().visit(p, group)


class DecayInGradient(HeavyBall):
    """Adds the decay to the caller's own gradient, in place."""

    def visit(self, p: Tensor, group: dict[str, Any]) -> None:
        if p.grad is not None:
            p.grad.add_(p, alpha=0.01)
        super().visit(p, group)


class DoubleState(HeavyBall):
    """Keeps its buffer in float64 whatever the parameters."""

    def direction(self, p: Tensor, g: Tensor, state: Any, group: dict[str, Any]) -> Tensor:
        if "buffer" not in state:
            state["buffer"] = torch.zeros_like(p, dtype=torch.float64)
        return super().direction(p, g, state, group).to(p.dtype)


class NoneIsZero(HeavyBall):
    """Counts a missing gradient as zero: the momentum moves on."""

    def visit(self, p: Tensor, group: dict[str, Any]) -> None:
        if p.grad is None and p.requires_grad:
            p.grad = torch.zeros_like(p)
        super().visit(p, group)


class DecaysFrozen(HeavyBall):
    """Decays every parameter that it was given, with a gradient or without."""

    def visit(self, p: Tensor, group: dict[str, Any]) -> None:
        p.mul_(1 - group["lr"] * 0.01)
        super().visit(p, group)


class OneLrForAll(HeavyBall):
    """Uses the first group's lr for all groups, as one foreach call over all tensors would."""

    def rate(self, group: dict[str, Any]) -> float:
        return self.param_groups[0]["lr"]


class ListedOnce(HeavyBall):
    """Lists its parameters at construction: groups that are added later are never visited."""

    def __init__(self, params: Any, lr: float = 0.1) -> None:
        super().__init__(params, lr)
        self.listed = {p for group in self.param_groups for p in group["params"]}

    def visit(self, p: Tensor, group: dict[str, Any]) -> None:
        if p in self.listed:
            super().visit(p, group)


class LossDropped(HeavyBall):
    """Evaluates the closure and returns nothing."""

    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # type: ignore[override]
        super().step(closure)


class ClosureWithoutGrad(HeavyBall):
    """Evaluates the closure while no gradients are recorded."""

    def evaluated(self, closure: Callable[[], Any] | None) -> Any:
        with torch.no_grad():
            return None if closure is None else closure()


class ClosureAfter(HeavyBall):
    """Evaluates the closure after the step, so that its gradients act one step late."""

    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # type: ignore[override]
        super().step(None)
        return self.evaluated(closure)


class GradientKept(HeavyBall):
    """Keeps the last gradient without copying it: what accumulates in place changes it."""

    def direction(self, p: Tensor, g: Tensor, state: Any, group: dict[str, Any]) -> Tensor:
        change = g - state.get("last", torch.zeros_like(g))
        state["last"] = g
        return g + 0.5 * change


_BUFFERS: dict[tuple[int, ...], dict[str, Any]] = {}


class SharedBuffers(HeavyBall):
    """Keeps buffers in the module, by shape, emptied when an optimizer is made: two optimizers share them."""

    def __init__(self, params: Any, lr: float = 0.1) -> None:
        super().__init__(params, lr)
        _BUFFERS.clear()

    def direction(self, p: Tensor, g: Tensor, state: Any, group: dict[str, Any]) -> Tensor:
        return super().direction(p, g, _BUFFERS.setdefault(tuple(p.shape), {}), group)


class Replacing(HeavyBall):
    """Gives the parameter new memory, which no view of it sees."""

    def move(self, p: Tensor, direction: Tensor, lr: float) -> None:
        p.data = p.data - lr * direction


class NoEmptyTensors(HeavyBall):
    """Looks at the largest entry, which a tensor without entries has not."""

    def direction(self, p: Tensor, g: Tensor, state: Any, group: dict[str, Any]) -> Tensor:
        return super().direction(p, g, state, group) * torch.sign(g.abs().max() + 1)


class HiddenConstant(Adam):
    """Has a bare 1e-8 inside the root."""

    def quotient(self, m: Tensor, v: Tensor, t: float, eps: float) -> Tensor:
        return m / (1 - 0.9**t) / (v / (1 - 0.999**t) + 1e-8).sqrt()


class AlwaysDecaying(HeavyBall):
    """Decays by a fixed share, whatever the lr."""

    def visit(self, p: Tensor, group: dict[str, Any]) -> None:
        if p.grad is not None:
            p.mul_(0.999)
        super().visit(p, group)


class NoEps(Adam):
    """Divides by a root that can be 0."""

    def quotient(self, m: Tensor, v: Tensor, t: float, eps: float) -> Tensor:
        return super().quotient(m, v, t, 0.0)


class TinyNorm(HeavyBall):
    """Divides by a norm whose fourth powers underflow for small gradients."""

    def direction(self, p: Tensor, g: Tensor, state: Any, group: dict[str, Any]) -> Tensor:
        norm = (g.float() ** 4).sum().sqrt().sqrt().to(g.dtype)
        return super().direction(p, torch.where(g == 0, g, g / norm), state, group)


class NanSkipsAll(HeavyBall):
    """Skips every tensor's step when one gradient is not finite."""

    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # type: ignore[override]
        tensors = [p for group in self.param_groups for p in group["params"] if p.grad is not None]
        if not all(bool(torch.isfinite(p.grad).all()) for p in tensors):
            return None
        return super().step(closure)


class OneCountForAll(Adam):
    """Counts steps once a tensor, and corrects the bias by the count of all of them."""

    def __init__(self, params: Any, lr: float = 1e-3) -> None:
        super().__init__(params, lr)
        self.t = 0

    def quotient(self, m: Tensor, v: Tensor, t: float, eps: float) -> Tensor:
        self.t += 1
        return super().quotient(m, v, float(self.t), eps)


class NoCorrectionOfV(Adam):
    """Corrects the bias of the average and not that of the squares: the first steps are too long."""

    def quotient(self, m: Tensor, v: Tensor, t: float, eps: float) -> Tensor:
        return m / (1 - 0.9**t) / (v.sqrt() + eps)


class EpsBeforeCorrection(Adam):
    """Adds eps before the bias of the squares is corrected."""

    def quotient(self, m: Tensor, v: Tensor, t: float, eps: float) -> Tensor:
        return m / (1 - 0.9**t) * (1 - 0.999**t) ** 0.5 / (v.sqrt() + eps)


class RefusesFirstStep(HeavyBall):
    """Cannot take a step."""

    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # type: ignore[override]
        raise NotImplementedError("steps come later")


class LastCountForAll(Adam):
    """Corrects the bias of every tensor by the count of the last one, which others share that miss gradients."""

    def quotient(self, m: Tensor, v: Tensor, t: float, eps: float) -> Tensor:
        last = [p for group in self.param_groups for p in group["params"] if p.grad is not None][-1]
        return super().quotient(m, v, max(float(self.state[last].get("t", t)), 1.0), eps)


class FirstDtypeDecaysTwice(HeavyBall):
    """Decays once for every dtype in the group, and not once for every tensor."""

    def visit(self, p: Tensor, group: dict[str, Any]) -> None:
        for _ in {q.dtype for q in group["params"]}:
            p.mul_(1 - 0.01 * group["lr"])
        super().visit(p, group)


class AllOrNone(HeavyBall):
    """Skips the step of every tensor of a group where one has no gradient."""

    def visit(self, p: Tensor, group: dict[str, Any]) -> None:
        if all(q.grad is not None for q in group["params"]):
            super().visit(p, group)


class FirstHasItAll(HeavyBall):
    """Moves the first tensor by the full lr and every other by half of it."""

    def visit(self, p: Tensor, group: dict[str, Any]) -> None:
        super().visit(p, {**group, "lr": group["lr"] / (1 if p is group["params"][0] else 2)})


class Ascending(HeavyBall):
    """Forgets the minus."""

    def move(self, p: Tensor, direction: Tensor, lr: float) -> None:
        p.add_(direction, alpha=lr)


class StartsFromParameter(HeavyBall):
    """Starts its buffer from the parameter, and not from zeros."""

    def direction(self, p: Tensor, g: Tensor, state: Any, group: dict[str, Any]) -> Tensor:
        if "buffer" not in state:
            state["buffer"] = p.detach().clone()
        return super().direction(p, g, state, group)


class DecaysWhatItFreezes(HeavyBall):
    """Sets the gradients of vectors to zero, and decays them all the same."""

    def visit(self, p: Tensor, group: dict[str, Any]) -> None:
        if p.grad is not None:
            p.mul_(1 - 0.01 * group["lr"])
        super().visit(p, group)

    def direction(self, p: Tensor, g: Tensor, state: Any, group: dict[str, Any]) -> Tensor:
        return super().direction(p, torch.zeros_like(g) if p.dim() == 1 else g, state, group)


class SignOfTwoSums(HeavyBall):
    """Takes the sign of an average that the loop and foreach round differently."""

    def __init__(self, params: Any, lr: float = 0.1, momentum: float = 0.9, foreach: bool = False) -> None:
        torch.optim.Optimizer.__init__(
            self, params, {"lr": lr, "momentum": momentum, "weight_decay": 0.0, "foreach": foreach}
        )

    def direction(self, p: Tensor, g: Tensor, state: Any, group: dict[str, Any]) -> Tensor:
        if "buffer" not in state:
            state["buffer"] = torch.zeros_like(p)
        rate = group["momentum"]
        if group["foreach"]:
            state["buffer"].lerp_(g, 1 - rate)
        else:
            state["buffer"].mul_(rate).add_(g, alpha=1 - rate)
        return torch.sign(state["buffer"])


class DoubleDefault(HeavyBall):
    """Makes float64 torch's default dtype when it is made."""

    def __init__(self, params: Any, lr: float = 0.1) -> None:
        torch.set_default_dtype(torch.float64)
        super().__init__(params, lr)
