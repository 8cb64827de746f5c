"""What each rule is called in torch.optim: classes, arguments and their order, as data that needs no torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from . import Derived


@dataclass(frozen=True)
class TorchName:
    """A rule in torch.optim.

    Attributes
    ----------
    optimizer : str or callable
        Class name in ``torch.optim``, or a function of our options that gives it.
    numbers : mapping
        Our number → torch's argument, where the names differ; ``("betas", 0)`` names an entry of a tuple.
    options : mapping
        Our option → torch's argument, where the names differ; ``None`` for an option torch has no argument for.
    state : mapping
        Our state field → key in torch's per-parameter state.
    derived : mapping
        Our state field → key in torch's state, and what it is made of that.
    implementations : tuple
        Those beside the plain loop: ``"foreach"``, ``"fused"``.
    whole_count : bool
        Whether its count is an int of Python, and no tensor.
    from_the_start : bool
        Whether it keeps state before its first step.
    """

    optimizer: str | Callable[[Mapping[str, Any]], str]
    numbers: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, str | None] = field(default_factory=dict)
    state: Mapping[str, str] = field(default_factory=dict, kw_only=True)
    derived: Mapping[str, Derived] = field(default_factory=dict, kw_only=True)
    implementations: tuple[str, ...] = field(default=("foreach",), kw_only=True)
    whole_count: bool = field(default=False, kw_only=True)
    from_the_start: bool = field(default=False, kw_only=True)

    @property
    def keys(self) -> set[str]:
        """All that its state may have."""
        return {*self.state.values(), *(other.key for other in self.derived.values())}

    def class_name(self, options: Mapping[str, Any]) -> str:
        """The class in torch.optim for our options."""
        return self.optimizer if isinstance(self.optimizer, str) else self.optimizer(options)

    def argument(self, number: str) -> Any:
        """Torch's argument for one of our numbers: a name, or a name and a position in its tuple."""
        return self.numbers.get(number, BETAS.get(number, number))

    def entries(self, argument: str) -> int:
        """How many numbers a tuple of its arguments has."""
        named = (*BETAS.values(), *self.numbers.values())
        return 1 + max(name[1] for name in named if isinstance(name, tuple) and name[0] == argument)

    def arguments(self, options: Mapping[str, Any], hyper: Any) -> dict[str, Any]:
        """Constructor arguments for our options and numbers."""
        given: dict[str, Any] = {}
        for option, value in options.items():
            name = self.options.get(option, option)
            if name is not None:
                given[name] = value
        entries: dict[str, dict[int, float | None]] = {}
        for number, value in zip(hyper._fields, hyper, strict=True):
            name = self.argument(number)
            if isinstance(name, tuple):
                entries.setdefault(name[0], {})[name[1]] = value  # None is a value there, as in Adafactor's eps
            elif value is not None and name is not None:
                given[name] = value
        for name, parts in entries.items():
            given[name] = tuple(parts[i] for i in sorted(parts))
        return given


BETAS = {"beta1": ("betas", 0), "beta2": ("betas", 1)}
DECOUPLED = {"decoupled": "decoupled_weight_decay"}
MOMENTS = {"t": "step", "m": "exp_avg", "v": "exp_avg_sq"}
FUSED = ("foreach", "fused")

NAMES: Mapping[str, TorchName] = {
    "sgd": TorchName("SGD", state={"buffer": "momentum_buffer"}, implementations=FUSED),
    "adam": TorchName(
        lambda options: "AdamW" if options["decoupled"] else "Adam",
        options={"decoupled": None},
        state={**MOMENTS, "v_max": "max_exp_avg_sq"},
        implementations=FUSED,
    ),
    "rmsprop": TorchName(
        "RMSprop",
        options={"momentum_buffer": None},
        state={"t": "step", "v": "square_avg", "g_avg": "grad_avg", "buffer": "momentum_buffer"},
    ),
    "adamax": TorchName("Adamax", state={"t": "step", "m": "exp_avg", "u": "exp_inf"}),
    "nadam": TorchName(
        "NAdam",
        options=DECOUPLED,
        state=MOMENTS,
        derived={"mu_gap": Derived("mu_product", lambda product: 1 - product, lambda gap, h: 1 - gap)},
    ),
    "radam": TorchName("RAdam", options=DECOUPLED, state=MOMENTS),
    "adagrad": TorchName("Adagrad", state={"t": "step", "sum": "sum"}, implementations=FUSED, from_the_start=True),
    "adadelta": TorchName("Adadelta", state={"t": "step", "square_avg": "square_avg", "acc_delta": "acc_delta"}),
    "rprop": TorchName(
        "Rprop",
        {
            "eta_minus": ("etas", 0),
            "eta_plus": ("etas", 1),
            "step_size_min": ("step_sizes", 0),
            "step_size_max": ("step_sizes", 1),
        },
        state={"t": "step", "prev": "prev", "step_size": "step_size"},
    ),
    "asgd": TorchName("ASGD", state={"t": "step", "eta": "eta", "mu": "mu", "ax": "ax"}),
    "adafactor": TorchName(
        "Adafactor",
        {"eps1": ("eps", 0), "eps2": ("eps", 1)},
        {"machine_eps": None},
        state={"t": "step", "row_var": "row_var", "col_var": "col_var", "variance": "variance"},
    ),
    "muon": TorchName(
        "Muon",
        {"ns_a": ("ns_coefficients", 0), "ns_b": ("ns_coefficients", 1), "ns_c": ("ns_coefficients", 2)},
        state={"buffer": "momentum_buffer"},
        implementations=(),
    ),
    "sparse_adam": TorchName("SparseAdam", state=MOMENTS, implementations=(), whole_count=True),
}

#: Rule and options that a class of torch.optim is, whatever its arguments.
CLASSES: Mapping[str, tuple[str, Mapping[str, bool]]] = {
    "Adam": ("adam", {}),
    "AdamW": ("adam", {"decoupled": True}),
    **{name.optimizer: (rule, {}) for rule, name in NAMES.items() if isinstance(name.optimizer, str)},
}

#: Arguments that may be given by position, after the parameters.
POSITIONAL: Mapping[str, tuple[str, ...]] = {
    "SGD": ("lr", "momentum", "dampening", "weight_decay", "nesterov"),
    "Adam": ("lr", "betas", "eps", "weight_decay", "amsgrad"),
    "AdamW": ("lr", "betas", "eps", "weight_decay", "amsgrad"),
    "RMSprop": (
        "lr", "alpha", "eps", "weight_decay", "momentum", "centered", "capturable", "foreach", "maximize", "differentiable",
    ),
    "Adamax": ("lr", "betas", "eps", "weight_decay", "foreach"),
    "NAdam": ("lr", "betas", "eps", "weight_decay", "momentum_decay", "decoupled_weight_decay"),
    "RAdam": ("lr", "betas", "eps", "weight_decay", "decoupled_weight_decay"),
    "Adagrad": ("lr", "lr_decay", "weight_decay", "initial_accumulator_value", "eps", "foreach"),
    "Adadelta": ("lr", "rho", "eps", "weight_decay", "foreach"),
    "Rprop": ("lr", "etas", "step_sizes"),
    "ASGD": (
        "lr", "lambd", "alpha", "t0", "weight_decay", "foreach", "maximize", "differentiable", "capturable",
    ),
    "Adafactor": ("lr", "beta2_decay", "eps", "d", "weight_decay"),
    "Muon": ("lr", "weight_decay", "momentum", "nesterov", "ns_coefficients", "eps", "ns_steps", "adjust_lr_fn"),
    "SparseAdam": ("lr", "betas", "eps", "maximize"),
}  # fmt: skip

#: Arguments that say how to compute, not what.
EXECUTION = ("foreach", "fused", "capturable", "differentiable")

#: Fields of a group that no step reads: those of schedulers and averages, and names.
UNREAD = (
    "params", "param_names", "initial_lr", "swa_lr", "base_lr", "max_lr", "min_lr", "base_momentum", "max_momentum",
)  # fmt: skip

#: Our schedule's name → torch's scheduler class; its numbers have torch's names but for the lr itself.
SCHEDULERS = {
    "step": "StepLR",
    "multi_step": "MultiStepLR",
    "exponential": "ExponentialLR",
    "linear": "LinearLR",
    "cosine_annealing": "CosineAnnealingLR",
    "polynomial": "PolynomialLR",
    "cosine_annealing_warm_restarts": "CosineAnnealingWarmRestarts",
    "cyclic": "CyclicLR",
    "one_cycle": "OneCycleLR",
}
