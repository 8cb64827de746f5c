"""Write docs/_static/explorer-data.js, all that the explorer shows: ``python docs/make_explorer.py``. A test holds a sample of it.

The page looks up and computes nothing. What is the same in many places (a curve, a sentence, an answer) is stored once.
"""

from __future__ import annotations

import itertools
import json
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from lrtheory import laws, rescale
from lrtheory.compiling import quickly_compiled
from lrtheory.explaining.explanation import formula_of
from lrtheory.explaining.facts import facts
from lrtheory.explaining.latex import readable
from lrtheory.rescaling import EXACTNESS, BatchRuleWarning
from lrtheory.rules import Rule
from lrtheory.spec import read

DATA = Path(__file__).parent / "_static" / "explorer-data.js"

BETAS = {"beta1": (0, 0.9), "beta2": (0.95, 0.99, 0.999)}
MOMENTS = {"lr": (1e-4, 3e-4, 1e-3, 3e-3), **BETAS, "eps": (1e-8, 1e-4)}
DECAY = {"weight_decay": (0, 0.01, 0.1)}
#: Rules by their SPEC without hyperparameters, and the values of those that can be chosen; others are at their defaults.
RULES: dict[str, dict[str, tuple[float, ...]]] = {
    "adamw()": MOMENTS | {"weight_decay": (0.01, 0.1)},
    "adam()": MOMENTS,
    "sgd()": {"lr": (1e-3, 1e-2, 0.1, 1), "momentum": (0, 0.9, 0.99), "weight_decay": (0, 1e-4)},
    "sgd(nesterov=True)": {"lr": (1e-3, 1e-2, 0.1, 1), "momentum": (0.9, 0.99), "weight_decay": (0, 1e-4)},
    "muon()": {"lr": (1e-4, 1e-3, 0.02), "momentum": (0, 0.9, 0.95), **DECAY},
    "lion()": {"lr": (1e-5, 1e-4, 3e-4), "beta1": (0.9, 0.95), "beta2": (0.98, 0.99), "weight_decay": (0.1, 1)},
    "signum()": {"lr": (1e-5, 1e-4, 3e-4), "momentum": (0, 0.9, 0.99), **DECAY},
    "rmsprop()": {"lr": (1e-4, 1e-3, 1e-2), "alpha": (0.9, 0.99), "eps": (1e-8, 1e-4), "momentum": (0, 0.9)},
    "adagrad()": {"lr": (1e-3, 1e-2, 0.1), "eps": (1e-10, 1e-4), "weight_decay": (0, 1e-4)},
    "adadelta()": {"lr": (0.1, 1), "rho": (0.9, 0.99), "eps": (1e-6, 1e-4)},
    "adamax()": {"lr": (1e-4, 1e-3, 2e-3), **BETAS, "eps": (1e-8, 1e-4)},
    "nadam()": {"lr": (1e-4, 1e-3, 2e-3), **BETAS, "eps": (1e-8, 1e-4)},
    "radam()": {"lr": (1e-4, 1e-3, 3e-3), **BETAS, "eps": (1e-8, 1e-4)},
    "adabelief()": {"lr": (1e-4, 1e-3), **BETAS, "eps": (1e-16, 1e-8)},
    "adafactor()": {"lr": (1e-3, 1e-2), "weight_decay": (0, 0.01)},
    "lamb()": {"lr": (1e-3, 1e-2), **BETAS, "weight_decay": (0, 0.01)},
    "lars()": {"lr": (0.1, 1, 10), "momentum": (0, 0.9), "weight_decay": (0, 1e-4)},
    "schedule_free_adamw()": {"lr": (1e-3, 2.5e-3), "beta1": (0.9, 0.95), "beta2": (0.95, 0.999), "weight_decay": (0, 0.1)},
}  # fmt: skip

STEPS = (1, 2, 5, 10, 20, 50, 99, 100, 110, 150, 200, 500, 1000)
SIZES = (1.0, 1e-3, 1e-6)
_T = np.arange(1, STEPS[-1] + 1)
PATTERNS = {
    "is pure noise": np.random.default_rng(0).standard_normal(len(_T)),
    "stays the same": np.ones(len(_T)),
    "changes its sign each step": np.where(_T % 2, 1.0, -1.0),
    "is there one step in ten": np.where((_T % 10 == 0) | (_T == 1), 1.0, 0.0),
    "has a spike: 100 times as large at step 100": np.where(_T == 100, 100.0, 1.0),
}

#: What is asked, the arguments of ``rescale``, by what is changed.
CHANGES: dict[str, dict[str, dict[str, Any]]] = {
    "Batch": {
        "I accumulate over 8 steps, each loss divided by 8": {"accumulation": 8, "accumulation_reduction": "mean"},
        "I accumulate over 8 steps, backward() adds up": {"accumulation": 8, "accumulation_reduction": "sum"},
        "8 processes, averaged as DDP does": {"world_size": 8, "world_reduction": "mean"},
        "a batch 2 times as large": {"batch": 2, "reduction": "mean"},
        "a batch 4 times as large": {"batch": 4, "reduction": "mean"},
        "a batch a quarter as large": {"batch": 0.25, "reduction": "mean"},
        "a quarter of the batch, 4 times accumulated": {
            "batch": 0.25, "reduction": "mean", "accumulation": 4, "accumulation_reduction": "mean"
        },
    },
    "Loss": {
        "the sum over a batch of 32 in place of its mean": {"loss": 32},
        "a loss 1000 times as large": {"loss": 1000},
        "a loss a thousandth as large": {"loss": 0.001},
    },
    "Length": {
        "I train twice as long": {"length": 2},
        "10 times as long, decay acts in the same share of the run": {"length": 10, "hold": "decay"},
    },
}  # fmt: skip
FLAGS = {"loss": "loss-scale", "batch": "batch-scale", "world_size": "world-size", "world_reduction": "world-reduction"}


class Pool(list):
    """Things by number, each once."""

    def __init__(self) -> None:
        super().__init__()
        self._at: dict[str, int] = {}

    def put(self, thing: Any) -> int:
        """Its number."""
        key = json.dumps(thing)
        if key not in self._at:
            self._at[key] = len(self)
            self.append(thing)
        return self._at[key]


def figure(value: float) -> str:
    """As short as it goes; three digits are more than a picture shows."""
    return f"{value:.3g}".replace("e-0", "e-").replace("e+0", "e").replace("e+", "e")


def specs(rule: str, grid: dict[str, tuple[float, ...]]) -> Iterator[str]:
    """The SPEC of each choice, the last hyperparameter changing first."""
    for values in itertools.product(*grid.values()):
        given = ", ".join(f"{name}={value:g}" for name, value in zip(grid, values, strict=True))
        yield rule.replace("()", f"({given})") if "()" in rule else rule.replace(")", f", {given})")


def curves(rule: Rule, hypers: list[Any]) -> tuple[np.ndarray, np.ndarray]:
    """Effective lr, and its product with the direction: by choice, pattern and size, and step of :data:`STEPS`."""
    gradients = np.stack([size * pattern for pattern in PATTERNS.values() for size in SIZES])

    @quickly_compiled()
    def run(hypers: Any, gradients: Any) -> Any:
        def one(hyper: Any, gradients: Any) -> Any:
            def step(carried: Any, g: Any) -> Any:
                grads = {"w": jnp.full(rule.facts.shape, g)}
                params, state = carried
                params, state = rule.step(hyper, params, state, grads)
                lr = rule.effective_lr(hyper, state)["w"]
                return (params, state), (lr.sum(), (lr * rule.direction(hyper, params, state, grads)["w"]).sum())

            params = {"w": jnp.ones(rule.facts.shape)}
            return jax.lax.scan(step, (params, rule.init(params)), gradients)[1]

        return jax.vmap(jax.vmap(one, (None, 0)), (0, None))(hypers, gradients)

    with jax.enable_x64(True):
        lr, step = run(jax.tree.map(lambda *x: jnp.asarray(x, float), *hypers), gradients)
    at = np.asarray(STEPS) - 1
    return np.asarray(lr)[..., at], np.asarray(step)[..., at]


def answer(rule: Rule, hyper: Any, asked: dict[str, Any], notes: Pool) -> list[Any]:
    """Hyperparameters that change, how exact that is, and notes; or why there is no answer."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", BatchRuleWarning)
            found = rescale(rule, hyper, **asked)
    except ValueError as error:
        return [notes.put(str(error))]
    new = {name: f"{value:.6g}" for name, value in found.hyper._asdict().items() if value != getattr(hyper, name)}
    return [new, found.exactness, [notes.put(note) for note in found.notes]]


def flags(asked: dict[str, Any]) -> str:
    """The arguments of the command line."""
    return " ".join(f"--{FLAGS.get(name, name.replace('_', '-'))} {value:g}" if isinstance(value, int | float)
                    else f"--{FLAGS.get(name, name.replace('_', '-'))} {value}" for name, value in asked.items())  # fmt: skip


def places() -> dict[str, str]:
    """Where on the page of laws a law, or a section of it, is."""
    return {name: name.replace(".", "-") for name in (*laws.catalogue(), *laws.SECTIONS)}


def nearest(value: float, values: tuple[float, ...]) -> int:
    """The place of the value that is nearest."""
    return int(np.argmin(np.abs(np.asarray(values) - value)))


def cells(rule: str, pools: dict[str, Pool]) -> dict[str, Any]:
    """One rule: its axes, and of each choice facts, curves and answers by number."""
    readings = [read(text) for text in specs(rule, RULES[rule])]
    inside, hypers = readings[0].rule, [reading.hyper for reading in readings]
    assert isinstance(inside, Rule)
    lr, step = curves(inside, hypers)
    default = {**inside.Hyper._field_defaults, **inside.array_rule.defaults, "lr": RULES[rule]["lr"][-2]}
    return {
        "spec": rule,
        "title": repr(inside),
        "formula": readable(formula_of(inside)),
        "axes": [[name, [f"{value:g}" for value in values]] for name, values in RULES[rule].items()],
        "start": {name: nearest(default[name], values) for name, values in RULES[rule].items()},
        "cells": [
            [
                [pools["facts"].put([fact.name, fact.said, fact.law]) for fact in facts(inside, hyper)],
                [
                    pools["curves"].put([" ".join(map(figure, of_pattern)) for of_pattern in pair])
                    for pair in zip(lr[i], step[i], strict=True)
                ],
                [
                    pools["answers"].put(answer(inside, hyper, asked, pools["notes"]))
                    for group in CHANGES.values()
                    for asked in group.values()
                ],
            ]
            for i, hyper in enumerate(hypers)
        ],
    }


def data(rules: dict[str, Any] = RULES) -> dict[str, Any]:
    """All of it."""
    pools = {name: Pool() for name in ("facts", "curves", "answers", "notes")}
    return {
        "steps": STEPS,
        "patterns": list(PATTERNS),
        "sizes": [f"{size:g}" for size in SIZES],
        "changes": [[group, said, flags(asked)] for group, of in CHANGES.items() for said, asked in of.items()],
        "exactness": EXACTNESS,
        "laws": places(),
        "rules": [cells(rule, pools) for rule in rules],
        **pools,
    }


if __name__ == "__main__":
    text = json.dumps(data(), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    DATA.write_text(f"const EXPLORER = {text};\n", encoding="utf-8")
