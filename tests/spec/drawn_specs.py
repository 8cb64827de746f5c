"""SPECs at random: every public constructor and schedule of torch and optax, nested, with arguments of their signatures."""

from __future__ import annotations

import inspect
import random
from typing import Any

import optax
import optax.contrib
import torch

from lrtheory.names import torch as torch_names
from lrtheory.spec import SpecError, parse, resolve

#: What needs more than a SPEC can say: functions, projections, meshes of devices, keys, or another loop.
ASIDE = {
    "optax.conditionally_mask", "optax.conditionally_transform", "optax.stateless", "optax.stateless_with_tree_map",
    "optax.GradientTransformation", "optax.GradientTransformationExtraArgs", "optax.snapshot", "optax.monitor",
    "optax.measure_with_ema", "optax.normalize_by_update_norm", "optax.with_extra_args_support", "optax.flatten",
    "optax.selective_transform", "optax.freeze", "optax.partition", "optax.multi_transform", "optax.named_chain",
    "optax.chain", "optax.masked", "optax.apply_if_finite", "optax.lookahead", "optax.inject_hyperparams",
    "optax.inject_stateful_hyperparams", "optax.MultiSteps",
}  # fmt: skip


def makers() -> list[str]:
    """Public factories of optax that return a transformation."""
    found = []
    for module in (optax, optax.contrib):
        for name in sorted(dir(module)):
            text = f"{module.__name__}.{name}"
            if name.startswith("_") or text in ASIDE or not inspect.isfunction(getattr(module, name)):
                continue
            try:
                resolve(parse(f"{text}()"))
            except SpecError:
                continue
            if not getattr(module, name).__module__.startswith("optax.schedules"):
                found.append(text)
    return found


SCHEDULES = [f"optax.{n}" for n in sorted(dir(optax)) if getattr(getattr(optax, n), "__module__", "").startswith("optax.schedules.") and "inject" not in n and inspect.isfunction(getattr(optax, n))]  # fmt: skip
SCHEDULERS = [
    kind for name, kind in vars(torch.optim.lr_scheduler).items()
    if isinstance(kind, type) and name.endswith("R") and not name.startswith("_")
]  # fmt: skip
#: What arguments are words or written-out values.
WORDS = {
    "mode": ["'hard'", "'triangular'", "'exp_range'", "'min'"], "variant": ["'sps'", "'sps+'"],
    "adjust_lr_fn": ["'original'", "'match_rms_adamw'", "None"], "anneal_strategy": ["'cos'", "'linear'"],
    "scale_mode": ["'cycle'", "'iterations'"], "preconditioning": ["'frobenius'", "'spectral'", "'aol'"],
    "schedulers": ["[torch.optim.lr_scheduler.StepLR(optimizer, 3)]"], "ns_coefficients": ["(3.0, -4.0, 2.0)"],
    "init_step": ["('learning_rate', 0.001)", "('heuristic', 1e-06)"], "etas": ["(0.5, 1.2)", "(0.4, 1.3)"],
    "step_sizes": ["(1e-06, 50)", "(0.001, 0.5)"], "axis": ["None", "0"], "foreach": ["True", "False", "None"],
    "capturable": ["False"],  # True runs on an accelerator alone
}  # fmt: skip
#: Arguments that a SPEC has no words for.
FUNCTIONS = (
    "decay_rate_fn", "clip_value_fn", "hessian_diagonal_fn", "linesearch", "step_size_fn", "lr_lambda", "scale_fn",
    "weight_dimension_numbers", "muon_weight_dimension_numbers", "state", "params", "batch_axis_name",
)  # fmt: skip
COUNTED = (
    "transition_begin",
    "sync_period",
    "r",
    "T_0",
    "T_max",
    "total_iters",
    "epochs",
    "start_step",
    "transition_steps",
)
MAKERS = makers()
OPTIMIZERS = [
    m for m in MAKERS if "learning_rate" in inspect.signature(resolve(parse(m))).parameters and "scale_by" not in m
]
PARTS = [m for m in MAKERS if m not in OPTIMIZERS]


class Drawing:
    """One source of SPECs."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def number(self, low: float, high: float) -> str:
        value = 10 ** self.random.uniform(low, high)
        return repr(self.random.choice([value, float(f"{value:.1g}"), float(f"{value:.1g}")]))

    def beta(self) -> str:
        return repr(self.random.choice([0.0, 0.5, 0.9, 0.95, 0.99, 0.999, round(self.random.random(), 3)]))

    def flag(self) -> str:
        return str(self.random.random() < 0.5)

    def count(self) -> str:
        return str(self.random.randint(2, 200))

    def schedule(self) -> str:
        """A schedule of optax."""
        r, lr = self.random, lambda: self.number(-4, 0)
        name = r.choice(SCHEDULES)
        if name == "optax.join_schedules":
            return f"{name}([{self.schedule()}, {self.schedule()}], [{self.count()}])"
        if name == "optax.sgdr_schedule":
            warm = r.randint(2, 20)
            one = f"{{'init_value': 0.0, 'peak_value': {lr()}, 'warmup_steps': {warm}, 'decay_steps': {warm + 30}, 'end_value': 0.0}}"
            return f"{name}([{one}])"
        if "piecewise" in name:
            bounds = f"{{{r.randint(2, 9)}: {self.number(-1, 1)}, {r.randint(20, 90)}: {self.number(-1, 1)}}}"
            kind = f"{r.choice(['linear', 'cosine'])!r}, " if "interpolate" in name else ""
            return f"{name}({kind}{lr()}, {bounds})"
        given = []
        for argument, p in inspect.signature(resolve(parse(name))).parameters.items():
            if p.default is p.empty or r.random() < 0.3:
                given.append(f"{argument}={self.argument(argument, p)}")
        return f"{name}({', '.join(given)})"

    def argument(self, name: str, p: inspect.Parameter) -> str:
        """A value that an argument of this name may have."""
        r = self.random
        if name in WORDS:
            return r.choice(WORDS[name])
        if name in FUNCTIONS:
            return "given"  # the name of a function or an array: refused by name
        if "dtype" in name:
            return "jax.numpy.float64"
        if "mask" in name:
            return r.choice(["True", "False", "{'w': True, 'z': False}"])
        if "optimizer" in name or name == "inner":
            return self.optax(2)
        if name == "step_size" and p.annotation == "int":  # of torch's StepLR
            return self.count()
        if (
            name in ("learning_rate", "lr", "step_size", "init_value", "peak_value", "end_value", "value")
            or "_lr" in name
        ):
            return self.number(-4, 0)
        if name in ("ns_steps", "stepsize_precision", "T_mult", "patience", "cooldown") or "linesearch" in name:
            return str(r.randint(2, 5))
        if name in ("seed", "key", "random_seed"):
            return "1"
        if name == "milestones":
            return f"[{r.randint(1, 3)}, {r.randint(4, 40)}]"
        if "step" in name or name in COUNTED:
            return self.count()
        if name in ("b1", "b2", "b3", "decay", "momentum", "rho", "alpha", "dampening") or "beta" in name.rstrip("s"):
            return f"({self.beta()}, {self.beta()})" if name == "betas" else self.beta()
        if name in ("decay_rate", "ema_decay", "power") or "momentum" in name:
            return self.beta()
        if name in ("eps", "eps_root", "epsilon", "eps1", "eps2") and not isinstance(p.default, tuple):
            return self.number(-10, 0)
        if isinstance(p.default, bool) or name in torch_names.EXECUTION:
            return self.flag()
        if isinstance(p.default, int) and "float" not in str(p.annotation):
            return repr(p.default)
        if isinstance(p.default, (int, float)) or p.default is p.empty or p.default is None:
            return self.number(-3, 0)
        return repr(p.default)

    def called(self, name: str) -> str:
        """A factory of optax with arguments of its signature."""
        given = []
        for argument, p in inspect.signature(resolve(parse(name))).parameters.items():
            if p.kind in (p.VAR_KEYWORD, p.VAR_POSITIONAL):
                continue
            seldom = p.default is None or callable(p.default) or argument in FUNCTIONS
            if p.default is not p.empty and self.random.random() > (0.08 if seldom else 0.35):
                continue
            if argument == "learning_rate" and self.random.random() < 0.25:
                given.append(f"{argument}={self.schedule()}")
            else:
                given.append(f"{argument}={self.argument(argument, p)}")
        return f"{name}({', '.join(given)})"

    def optax(self, depth: int = 0) -> str:
        """An optimizer of optax, perhaps with others around and in it."""
        r = self.random
        plain = self.called(r.choice(OPTIMIZERS))
        shape = r.random()
        if depth > 2 or shape < 0.4:
            return plain
        inner = self.optax(depth + 1)
        if shape < 0.55:
            return f"optax.chain({self.called(r.choice(PARTS))}, {inner})"
        if shape < 0.65:
            middle = self.called(r.choice([p for p in PARTS if "scale_by_" in p]))
            last = r.choice(
                [f"optax.scale(-{self.number(-4, 0)})", f"optax.scale_by_learning_rate({self.number(-4, 0)})"]
            )
            return f"optax.chain({middle}, {last})"
        if shape < 0.72:
            name, _, rest = plain.partition("(")
            return f"optax.inject_hyperparams({name})({rest}"
        if shape < 0.79:
            return f"optax.MultiSteps({inner}, {r.randint(1, 4)})"
        if shape < 0.84:
            return f"optax.apply_if_finite({inner}, {r.randint(1, 4)})"
        if shape < 0.89:
            by = r.choice(["multi_transform", "partition"])
            return f"optax.{by}({{'a': {inner}, 'b': {self.optax(depth + 1)}}}, {{'w': 'a', 'z': 'b'}})"
        if shape < 0.91:
            return f"optax.named_chain(('one', {self.called(r.choice(PARTS))}), ('two', {inner}))"
        if shape < 0.92:
            return f"optax.flatten({plain})"
        if shape < 0.94:
            return f"optax.chain(optax.clip_by_global_norm({self.number(-2, 1)}), optax.masked({inner}, True))"
        return f"optax.lookahead({plain}, {r.randint(2, 6)}, 0.5)"

    def torch(self) -> str:
        """An optimizer of torch, perhaps in a scheduler."""
        r = self.random
        text = self.of_torch(getattr(torch.optim, r.choice(list(torch_names.CLASSES))), "params")
        return self.of_torch(r.choice(SCHEDULERS), text) if r.random() < 0.25 else text

    def of_torch(self, kind: Any, first: str) -> str:
        """A class of torch with arguments of its signature."""
        r, given = self.random, [first]
        for argument, p in list(inspect.signature(kind).parameters.items())[1:]:
            seldom = argument in (*torch_names.EXECUTION, *FUNCTIONS, "last_epoch")
            if p.default is p.empty or r.random() < (0.06 if seldom else 0.4):
                given.append(f"{argument}={self.argument(argument, p)}")
        return f"{kind.__module__.removesuffix('.' + kind.__name__.lower())}.{kind.__name__}({', '.join(given)})"
