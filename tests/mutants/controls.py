"""The negative controls of the conformance suite: each target with the check that should catch it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

TRANSFORMATIONS = "mutants.transformations"
OPTIMIZERS = "mutants.optimizers"


@dataclass(frozen=True)
class Control:
    """A target that a check must fail.

    Attributes
    ----------
    target : SPEC text
    kind : ``jax`` or ``torch``
    caught_by : id of the check that should catch it
    settings : what else :func:`parity.check` is given
    broken : what is wrong, for published ones; broken ones of our own say it in their docstring
    """

    target: str
    kind: str
    caught_by: str
    settings: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    broken: str = ""

    @property
    def name(self) -> str:
        """The last part of the target's name."""
        return self.target.partition(":")[2] or self.target

    def says(self) -> str:
        """What is broken, in a line."""
        if self.broken:
            return self.broken
        from lrtheory.spec import parse, resolve

        return (resolve(parse(self.target)).__doc__ or "").strip().splitlines()[0]


def _jax(name: str, caught_by: str, **settings: Any) -> Control:
    return Control(f"{TRANSFORMATIONS}:{name}", "jax", caught_by, settings)


def _torch(name: str, caught_by: str, **settings: Any) -> Control:
    return Control(f"{OPTIMIZERS}:{name}", "torch", caught_by, settings)


def _published(target: str, caught_by: str, broken: str, **settings: Any) -> Control:
    kind = "jax" if target.startswith("optax") else "torch"
    return Control(target, kind, caught_by, settings, broken)


#: What they are made from: these pass every check.
SOUND: Mapping[str, str] = {
    f"{TRANSFORMATIONS}:heavy_ball": "sgd(lr=0.1, momentum=0.9)",
    f"{TRANSFORMATIONS}:adam": "adam(lr=0.001)",
    f"{OPTIMIZERS}:HeavyBall": "sgd(lr=0.1, momentum=0.9)",
    f"{OPTIMIZERS}:Adam": "adam(lr=0.1)",
}

CONTROLS: tuple[Control, ...] = (
    _jax("no_scalars", "tree"),
    _jax("late_state", "tree"),
    _jax("single_state", "dtypes"),
    _jax("double_rate", "dtypes"),
    _jax("counts_in_python", "jit"),
    _jax("state_in_closure", "jit"),
    _jax("branches_on_a_value", "jit"),
    _jax("count_becomes_float", "scan"),
    _jax("host_callback", "vmap"),
    _jax("noise_from_host", "deterministic"),
    _jax("scales_in_place", "inputs"),
    _jax("prints", "quiet"),
    _jax("noise_when_traced", "global-state"),
    _jax("no_eps", "zero-gradient"),
    _jax("tiny_norm", "finite"),
    _jax("nan_everywhere", "non-finite"),
    _jax("tuples_are_leaves", "missing-gradient"),
    _jax("always_decaying", "lr-zero"),
    _jax("schedule_read_once", "schedule"),
    _jax("schedule_one_late", "schedule"),
    _jax("python_rate", "injected-lr"),
    _jax("hidden_constant", "scaling-law", claims_law=True),
    _jax("uncorrected_squares", "step-bound", reference="adam(lr=0.001)"),
    _jax("refuses_first_step", "first-step"),
    _jax("ascends", "descent"),
    _jax("leaves_gradients", "descent"),
    _jax("starts_from_parameters", "at-rest"),
    _jax("decays_what_it_freezes", "frozen"),
    _jax("by_its_place", "company"),
    _jax("decay_times_gradient", "reference", reference="adamw(lr=0.001, weight_decay=0.1)"),
    _torch("Replacing", "tree"),
    _torch("NoEmptyTensors", "tree"),
    _torch("DoubleState", "dtypes"),
    _torch("LossDropped", "closure"),
    _torch("ClosureWithoutGrad", "closure"),
    _torch("ClosureAfter", "closure"),
    _torch("OneLrForAll", "param-groups"),
    _torch("ListedOnce", "add-param-group"),
    _torch("Noisy", "deterministic"),
    _torch("SharedBuffers", "isolated"),
    _torch("DecayInGradient", "inputs"),
    _torch("Printing", "quiet"),
    _torch("Seeding", "global-state"),
    _torch("NoEps", "zero-gradient"),
    _torch("TinyNorm", "finite"),
    _torch("NanSkipsAll", "non-finite"),
    _torch("GradientKept", "gradient-only"),
    _torch("NoneIsZero", "missing-gradient"),
    _torch("DecaysFrozen", "frozen"),
    _torch("AlwaysDecaying", "lr-zero"),
    _torch("LrReadOnce", "schedule"),
    _torch("LrOneStepLate", "schedule"),
    _torch("RefusesFirstStep", "first-step"),
    _torch("Ascending", "descent"),
    _torch("StartsFromParameter", "at-rest"),
    _torch("DecaysWhatItFreezes", "frozen"),
    _torch("LastCountForAll", "company"),
    _torch("FirstDtypeDecaysTwice", "company"),
    _torch("AllOrNone", "company"),
    _torch("FirstHasItAll", "company"),
    _torch("SignOfTwoSums", "foreach"),
    _torch("DoubleDefault", "global-state"),
    _torch("StateBeside", "resume"),
    _torch("GroupsNotLoaded", "state-dict"),
    _torch("HiddenConstant", "scaling-law", claims_law=True),
    _torch("NoCorrectionOfV", "step-bound", reference="adam(lr=0.1)"),
    _torch("OneCountForAll", "reference", reference="adam(lr=0.001)"),
    _torch("EpsBeforeCorrection", "reference", reference="adam(lr=0.1)"),
    _published("torch.optim.ASGD", "schedule", "Takes each step with the lr of the step before."),
    _published("torch.optim.Rprop", "lr-zero", "Holds its step sizes above 1e-6, whatever the lr."),
    _published("torch.optim.NAdam", "resume", "Keeps mu_product in float32 until it is loaded."),
    _published(
        "torch.optim.RAdam", "scaling-law", "Takes its first five steps without a root: no law.", claims_law=True
    ),
    _published("optax.yogi", "zero-gradient", "Starts the average of gradients at 1e-6."),
    _published(
        "optax.rmsprop(0.01, 0.99, momentum=0.9, eps_in_sqrt=False)",
        "reference",
        "Keeps the lr inside the momentum buffer.",
        reference="torch.optim.RMSprop(lr=0.01, momentum=0.9)",
    ),
    _published(
        "optax.amsgrad(0.1)",
        "reference",
        "Corrects the bias before it takes the maximum.",
        reference="torch.optim.Adam(lr=0.1, amsgrad=True)",
    ),
    _published(
        "optax.adagrad(0.01)",
        "reference",
        "Starts its accumulator at 0.1, and has eps inside the root.",
        reference="torch.optim.Adagrad(lr=0.01)",
    ),
)
