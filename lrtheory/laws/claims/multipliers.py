"""Claims about multipliers and decay of single tensors: LoRA's α, muP's tables, decay of normalised weights."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from types import SimpleNamespace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ... import rules
from ...compiling import quickly_compiled
from ...dims.model import symmetries
from ...rescaling import rescale
from ...rules import Rule
from ...theory.invariance import sgd_schedule
from ...wrappers import clip_by_global_norm
from ..law import Rng, Shown, law
from ..trajectory import descend

STEPS, RANK, WIDTH = 20, 2, 4


@quickly_compiled(static_argnums=(0, 1))
def _trained(rule: Rule, loss: Callable[..., Array], hypers: Any, params: Any, data: Any, max_norm: Any) -> Any:
    """Tensors after each step, each by a rule with hyperparameters of its own, gradients clipped to one norm before."""
    clip = clip_by_global_norm(rule, homogeneous=True).clip

    def step(carry: Any, _: Any) -> Any:
        params, states = carry
        grads, structure = jax.tree.flatten(jax.grad(loss)(params, data))
        grads = structure.unflatten(clip(SimpleNamespace(max_norm=max_norm), grads)[0])
        moved = {name: rule.step(hypers[name], params[name], states[name], grads[name]) for name in params}
        params, states = ({name: both[i] for name, both in moved.items()} for i in (0, 1))
        return (params, states), params

    states = {name: rule.init(p) for name, p in params.items()}
    return jax.lax.scan(step, (params, states), None, STEPS)[1]


def _apart(one: Any, other: Any) -> float:
    """Largest distance of a tensor at a step over its largest entry then."""
    return max(float(np.max(np.abs(one[n] - other[n])) / np.max(np.abs(other[n]))) for n in other)


def adapted(p: Any, data: Any) -> Array:
    """Mean squared error of a layer with a low-rank update times α."""
    x, y, weight, alpha = data
    return jnp.mean((x @ (weight + alpha * p["B"] @ p["A"]) - y) ** 2)


def alpha_as_lr(rule: Rule, hyper: Any, alpha: float, clipped: bool) -> Any:
    """Hyperparameters of B at α = 1 that train as these do at α; ``None`` where there are none."""
    wrapped = clip_by_global_norm(rule, homogeneous=True) if clipped else rule
    numbers = {name: value for name, value in hyper._asdict().items() if value is not None}
    try:
        return rescale(
            wrapped, wrapped.hyper(**numbers, **({"max_norm": 1.0} if clipped else {})), params={"B": alpha}
        ).hyper["B"]
    except ValueError:
        return None


@law(
    r"""exact claims.lora-alpha (depends): LoRA's α as an lr for B
    \alpha BA \equiv B'A, \; B' = \alpha B: \quad lr_B \cdot \alpha^2 \text{ (SGD)}, \quad lr_B \cdot \alpha, \; eps_B /
    \alpha, \; weight\_decay_B / \alpha \text{ (AdamW)}
    claim: LoRA's α is the same as an lr for B.
    scope: true of sgd without decay, whose lr for B is α² times as large, and of adam at eps 0, where it is α times. eps and
    decoupled decay of B must be divided by α too, coupled decay of sgd by α². False under a clip by the global norm, in which B
    counts 1/α as much; and never an lr for A and B together. B starts at 0, and so does B'
    source: derived here; decides the claims of 2312.03732 and 2606.12883
    ran: a layer with an update of rank 2, 20 steps at an α from 2 to 6 and at 1: sgd with and without decay, adam with an eps of
    0.05, adamw, and adam clipped to a quarter of its first gradient
    why: over a tensor's largest entry: rounding of 20 steps. Under the clip it must be apart by 1e-3 instead
    """,
    alpha_as_lr,
    {
        "lr alone": lambda rule, hyper, alpha, clipped: (
            None if (found := alpha_as_lr(rule, hyper, alpha, clipped)) is None else hyper._replace(lr=found.lr)
        ),
        "under a clip too": lambda rule, hyper, alpha, clipped: alpha_as_lr(rule, hyper, alpha, False),
        "α for every rule": lambda rule, hyper, alpha, clipped: (
            None if (found := alpha_as_lr(rule, hyper, alpha, clipped)) is None else found._replace(lr=hyper.lr * alpha)
        ),
    },
    bound=1e-9,
    key=90,
)
def lora_alpha(formula: Any, rng: Rng) -> Shown:
    alpha, huge = rng.uniform(2, 6), 1e30
    x, y = rng.standard_normal((2, 8, WIDTH))
    weight = rng.standard_normal((WIDTH, WIDTH))
    start = {"A": rng.standard_normal((RANK, WIDTH)), "B": np.zeros((WIDTH, RANK))}
    adam, adamw, sgd = rules.adam(), rules.adamw(), rules.sgd()
    cases = [
        (sgd, sgd.hyper(lr=0.01), False),
        (sgd, sgd.hyper(lr=0.01, weight_decay=0.3), False),
        (adam, adam.hyper(lr=0.02, eps=0.05), False),
        (adamw, adamw.hyper(lr=0.02, eps=0.05, weight_decay=0.5), False),
        (adam, adam.hyper(lr=0.02, eps=0.05), True),
    ]
    slope = jax.grad(adapted)(start, (x, y, weight, alpha))
    norm = float(np.sqrt(sum(np.sum(np.square(g)) for g in slope.values())))
    for rule, hyper, clipped in cases:
        found = formula(rule, hyper, alpha, clipped)
        bound = norm / 4 if clipped else huge
        other = found or alpha_as_lr(rule, hyper, alpha, False)
        at_alpha = _trained(rule, adapted, {"A": hyper, "B": hyper}, start, (x, y, weight, alpha), bound)
        at_one = _trained(rule, adapted, {"A": hyper, "B": other}, start, (x, y, weight, 1.0), bound)
        off = _apart({"A": at_one["A"], "B": at_one["B"] / alpha}, at_alpha)
        yield off if found is not None else float(off < 1e-3)


class Exponents(NamedTuple):
    """Powers of 1/width: of a tensor's multiplier in the forward pass, its first deviation, its lr and its eps under Adam."""

    multiplier: Fraction
    deviation: Fraction
    lr: Fraction
    eps: Fraction = Fraction(0)


def moved(entry: Exponents, power: Fraction) -> Exponents:
    """The entry of a tensor that is width^power times as large, with the forward pass divided by that."""
    units = rules.adam().units
    return Exponents(
        entry.multiplier + power,
        entry.deviation - power,
        entry.lr - power * units["lr"].param,
        entry.eps - power * units["eps"].param,
    )


_NO, _HALF, _ONE = Fraction(0), Fraction(1, 2), Fraction(1)
#: Input, hidden and output weights, in the form of Table 3, 8 and 9 of 2203.03466.
TABLES = {
    "3": (Exponents(_NO, _NO, _NO), Exponents(_NO, _HALF, _ONE), Exponents(_NO, _ONE, _ONE)),
    "8": (Exponents(_NO, _NO, _NO), Exponents(_NO, _HALF, _ONE), Exponents(_ONE, _NO, _NO)),
    "9": (Exponents(-_HALF, _HALF, _HALF), Exponents(_NO, _HALF, _ONE), Exponents(_HALF, _HALF, _HALF)),
}  # fmt: skip
LAYERS = ("input", "hidden", "output")


def perceptron(p: Any, data: Any) -> Array:
    """Mean squared error of two hidden layers, each weight with its multiplier."""
    x, y, multipliers = data
    for name in LAYERS:
        x = x @ (multipliers[name] * p[name])
        x = jax.nn.relu(x) if name != "output" else x
    return jnp.mean((x - y) ** 2)


@law(
    r"""exact claims.mup-tables (true): muP's tables for Adam are one
    (multiplier, deviation, lr, eps) \sim n^{-(a, b, c, e)} \;\equiv\; n^{-(a + \theta, b - \theta, c - \theta, e +
    \theta)}
    claim: muP's tables for Adam are the same parametrisation, each an abc-symmetry of the other.
    scope: adam, tensor by tensor, as tables 3, 8 and 9 have it; eps must move with the gradient, as n^-θ, or be 0, and decoupled
    decay as n^θ. For sgd lr moves by 2θ. That lr found at one width is good at another is another claim, and asymptotic
    source: tables 3, 8 and 9 of 2203.03466, written down from memory; abc-symmetry of 2011.14522; moved by the units of adam
    ran: two hidden layers of ReLU of widths 4 and 16 under adam with eps 0.01, 20 steps in the form of table 3 and in those that
    tables 8 and 9 come to; entries of the tables that differ are counted
    why: over a tensor's largest entry: rounding of 20 steps of widths that are powers of 4
    """,
    moved,
    {
        "eps left alone": lambda entry, power: moved(entry, power)._replace(eps=entry.eps),
        "lr as for sgd": lambda entry, power: moved(entry, power)._replace(lr=entry.lr - 2 * power),
        "deviation left alone": lambda entry, power: moved(entry, power)._replace(deviation=entry.deviation),
    },
    bound=1e-9,
    key=91,
)
def mup_tables(formula: Any, rng: Rng) -> Shown:
    adam = rules.adam()
    for width in (4, 16):
        sizes = dict(zip(LAYERS, ((3, width), (width, width), (width, 2)), strict=True))
        draws = {name: rng.standard_normal(size) for name, size in sizes.items()}
        x, y = rng.standard_normal((8, 3)), rng.standard_normal((8, 2))

        def run(table: Any, width: int = width, draws: Any = draws, x: Any = x, y: Any = y) -> Any:
            by = {
                name: Exponents(*(float(width) ** -float(e) for e in entry))
                for name, entry in zip(LAYERS, table, strict=True)
            }
            start = {name: draws[name] * by[name].deviation for name in LAYERS}
            hypers = {name: adam.hyper(lr=0.05 * by[name].lr, eps=0.01 * by[name].eps) for name in LAYERS}
            path = _trained(
                adam, perceptron, hypers, start, (x, y, {name: by[name].multiplier for name in LAYERS}), 1e30
            )
            return {name: np.asarray(path[name]) * by[name].multiplier for name in LAYERS}

        first = run(TABLES["3"])
        for other in ("8", "9"):
            table = [formula(a, b.multiplier - a.multiplier) for a, b in zip(TABLES["3"], TABLES[other], strict=True)]
            yield float(sum(got[:3] != said[:3] for got, said in zip(table, TABLES[other], strict=True)))
            yield _apart(run(table), first)


def normalised(p: Any, data: Any) -> Array:
    """Mean squared error of a layer with a norm behind it, and another."""
    x, y = data
    hidden = x @ p["first"]
    hidden = hidden - jnp.mean(hidden, axis=-1, keepdims=True)
    hidden = hidden / jnp.sqrt(jnp.mean(hidden**2, axis=-1, keepdims=True))
    return jnp.mean((hidden @ p["second"] - y) ** 2)


def _first(w: Any, data: Any) -> Array:
    return normalised({"first": w, "second": data[2]}, data[:2])


def _second(w: Any, data: Any) -> Array:
    return normalised({"first": data[2], "second": w}, data[:2])


@law(
    r"""exact claims.decay-is-a-schedule (depends): Weight decay as a schedule of lr
    weight\_decay \;\equiv\; lr_t = lr \cdot (1 - lr \cdot weight\_decay)^{-2t-1} \quad \text{where } L(k w) = L(w)
    claim: Weight decay only makes the lr grow.
    scope: sgd. True of a tensor that lrtheory.symmetries finds to be scale-invariant, as the weight before a norm; false of one
    that the loss fixes, as the last layer, which decay makes smaller. See invariance.exponential-sgd for momentum and adamw
    source: Li & Arora 2020 (1910.07454); which tensors are found, not declared
    ran: a layer, a norm and a layer; each tensor trained for 40 steps with decay, and without under the schedule
    why: a count: tensors whose directions are the same to 1e-8 where it says otherwise, or the reverse
    """,
    lambda found, name: name in found.invariant,
    {"every tensor": lambda found, name: True, "no tensor": lambda found, name: False},
    key=92,
)
def decay_is_a_schedule(formula: Any, rng: Rng) -> Shown:
    steps, sgd, wrong = 40, rules.sgd(), 0
    x, y, lr = rng.standard_normal((8, WIDTH)), rng.standard_normal((8, WIDTH)), rng.uniform(0.05, 0.1)
    start = {name: rng.standard_normal((WIDTH, WIDTH)) for name in ("first", "second")}
    decay = rng.uniform(0.005, 0.01) / lr
    found = symmetries(normalised, start, (x, y))
    for name, loss, other in (("first", _first, "second"), ("second", _second, "first")):
        data, schedule = (x, y, start[other]), sgd_schedule(lr, decay, steps)
        with_decay = descend(sgd, sgd.hyper(lr=lr, weight_decay=decay), loss, start[name], steps, data).params[-1]
        without = descend(sgd, sgd.hyper()._replace(lr=schedule.lr), loss, start[name], steps, data).params[-1]
        cosine = np.sum(with_decay * without) / np.linalg.norm(with_decay) / np.linalg.norm(without)
        same = 1 - cosine < 1e-8 and np.allclose(with_decay, schedule.rho**steps * without, rtol=1e-6)
        wrong += bool(same) != formula(found, name)
    yield wrong
