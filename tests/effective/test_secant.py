"""E is the step over the mean of all gradients, and not the answer to the next one (truth 10): said where E is defined."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import pytest

from lrtheory import laws, rules
from lrtheory.compiling import quickly_compiled


def response(rule: rules.Rule, steps: int, **numbers: float) -> float:
    """−∂Δθ/∂g of the last of equal gradients, over E."""
    hyper, params = rule.hyper(**numbers), jnp.zeros(2)

    def last(state: object, g: jax.Array) -> jax.Array:
        return rule.step(hyper, params, state, g)[0]

    def stand(state: object, _: object) -> tuple[object, None]:
        return rule.step(hyper, params, state, jnp.ones(2))[1], None

    with jax.enable_x64(True):
        params = jnp.zeros(2)
        state = quickly_compiled()(lambda s: jax.lax.scan(stand, s, None, steps - 1)[0])(rule.init(params))
        slope = quickly_compiled()(jax.jacfwd(last, argnums=1))(state, jnp.ones(2))[0, 0]
        after = quickly_compiled()(lambda s: rule.step(hyper, params, s, jnp.ones(2))[1])(state)
        return float(-slope / rule.effective_lr(hyper, after)[0])


@pytest.mark.parametrize(
    ("name", "steps", "numbers", "expected"),
    [
        ("sgd", 5, {"lr": 0.1}, 1.0),
        ("lion", 5, {"lr": 0.1}, 0.0),
        ("signum", 5, {"lr": 0.1}, 0.0),
        ("adam", 1, {"lr": 0.1, "eps": 0.0}, 0.0),
        ("rmsprop", 1, {"lr": 0.1, "eps": 0.0}, 0.0),
        ("nadam", 200, {"lr": 0.1, "eps": 0.0}, 0.58),
        ("adamax", 200, {"lr": 0.1, "eps": 0.0}, -0.9),
    ],
)
def test_the_answer_to_the_next_gradient_is_no_e(
    name: str, steps: int, numbers: dict[str, float], expected: float
) -> None:
    assert response(rules.get(name)(), steps, **numbers) == pytest.approx(expected, abs=0.01)


def test_it_is_said_where_e_is_defined() -> None:
    said = " ".join((rules.Rule.effective_lr.__doc__ or "").split())
    assert "E is a secant" in said
    assert "not the slope of the step in the next gradient" in said
    assert "momentum.adamax-response" in laws.catalogue()
