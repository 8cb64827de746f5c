"""What a rule remembers of one gradient: read from its own step, so that a state can be held against its step count."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ..rules import Rule

#: For so many steps memories are followed.
LONG = 2048
_STREAM = np.array([1.0, -2.0, 0.5, 3.0, -1.5, 0.25, -1.0, 2.0])


class Memory(NamedTuple):
    """A slot that is a weighted sum of powers of past gradients.

    Attributes
    ----------
    weights : array
        Of the gradient of the last step, of that before it, and so on.
    power : int
        1 for gradients, 2 for their squares.
    additive : bool
        Whether it is that sum; otherwise it scales with one gradient alone, and only the first weight holds.
    """

    weights: np.ndarray
    power: int
    additive: bool


class Pair(NamedTuple):
    """What (memory of gradients)²/(memory of squares) can be at one coordinate after some steps.

    Attributes
    ----------
    largest : float
        No stream of gradients leaves more (Cauchy-Schwarz); ``inf`` where no bound is known.
    noise, constant, faded : float
        After gradients that are independent and of one size, that are the same, and of which only the first was not 0.
    """

    largest: float
    noise: float
    constant: float
    faded: float


def memories(rule: Rule, hyper: Any) -> dict[str, Memory]:
    """The slots of a rule that are such sums, by name; none for a rule whose facts do not name them."""
    if isinstance(rule.facts.memory, str) or rule.array_rule.sparse or rule.facts.shape != (1,):
        return {}
    names = [n for n in (*rule.facts.memory, *rule.facts.sizes) if n in rule.State._slots]
    names = tuple(n for n in names if n not in rule.array_rule.absent and rule.State._slots[n].kind == "array")
    numbers = tuple(0.0 if name in ("weight_decay", "lr") else value for name, value in hyper._asdict().items())
    return _memories(rule, names, numbers)


@functools.lru_cache(maxsize=64)
def _memories(rule: Rule, names: tuple[str, ...], numbers: tuple[float | None, ...]) -> dict[str, Memory]:
    once, twice, stream = np.zeros((3, LONG))
    once[0], twice[0], stream[: len(_STREAM)] = 1, 2, _STREAM
    with jax.enable_x64(True), jax.default_device(jax.devices("cpu")[0]):
        after = [
            {n: np.asarray(v) for n, v in _followed(rule, names, numbers, g).items()} for g in (once, twice, stream)
        ]
    found = {}
    for name in names:
        weights, of_two, of_stream = (run[name] for run in after)
        if not weights[0] or not np.all(np.isfinite(weights)):
            continue
        power = round(np.log2(abs(of_two[0] / weights[0])))
        last = len(_STREAM) - 1
        sums = weights[last::-1] @ _STREAM**power
        found[name] = Memory(weights, power, bool(np.isclose(of_stream[last], sums, rtol=1e-9, atol=1e-12)))
    return found


@functools.partial(jax.jit, static_argnums=(0, 1))
def _followed(rule: Rule, names: tuple[str, ...], numbers: Any, gradients: Any) -> dict[str, Any]:
    h = rule.Hyper(*(None if value is None else jnp.asarray(value, jnp.float64) for value in numbers))
    p = jnp.ones((), jnp.float64)

    def step(s: Any, g: Any) -> tuple[Any, dict[str, Any]]:
        s = rule.array_rule.step(h, p, s, g)[1]
        return s, {name: getattr(s, name) for name in names}

    return jax.lax.scan(step, rule.array_rule.init(p), gradients)[1]


def pair(gradients: Memory, squares: Memory, steps: int) -> Pair:
    """The ratio after so many steps."""
    n = min(steps, LONG)
    a, b = gradients.weights[:n], squares.weights[:n]
    kept = b > 0
    terms = a[kept] ** 2 / b[kept]
    ended = steps <= LONG or terms[-1] < 1e-9 * terms.sum()
    bounded = ended and np.all(np.abs(a[~kept]) < 1e-30)
    return Pair(
        float(terms.sum()) if bounded else np.inf,
        float(np.sum(a**2) / np.sum(b)),
        float(np.sum(a) ** 2 / np.sum(b)),
        float(terms[-1]) if steps <= LONG else 0.0,
    )
