"""Scale symmetries of networks: the same answer in JAX and in torch, each tried in numbers."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lrtheory import symmetries
from lrtheory.dims.model import Symmetries, Verification
from lrtheory.dims.model.verification import Trial

RNG = np.random.default_rng(0)


def normal(*shape: int) -> jax.Array:
    return jnp.asarray(RNG.normal(size=shape), jnp.float32)


def said(found: Symmetries) -> set[str]:
    return {str(g) for g in found.generators}


def source(found: Symmetries, tensor: str) -> str:
    location = found.fixed[tensor].location
    assert location is not None
    assert location.file == __file__
    return location.source


X, Y = normal(16, 8), jnp.arange(16) % 8


def cross_entropy(logits, labels):
    return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(logits), labels[..., None], -1))


def perceptron(p, x, y, activation=jax.nn.relu):
    for layer in ("l1", "l2"):
        x = activation(x @ p[layer]["w"] + p[layer]["b"])
    return cross_entropy(x @ p["l3"]["w"] + p["l3"]["b"], y)


PERCEPTRON = {name: {"w": normal(8, 8), "b": normal(8)} for name in ("l1", "l2", "l3")}


def test_perceptron_has_one_symmetry_for_each_hidden_layer():
    found = symmetries(perceptron, PERCEPTRON, X, Y)
    assert said(found) == {"l1.b ×k, l1.w ×k, l2.w ÷k", "l2.b ×k, l2.w ×k, l3.w ÷k"}
    assert found.exact == found.generators
    assert all(g.exact for g in found.generators)
    assert set(found.fixed) == {"l3.b"}
    assert source(found, "l3.b").startswith("return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax")
    assert found.verify(0).passed


def test_a_tanh_fixes_what_is_before_it_and_names_its_line():
    found = symmetries(lambda p, x, y: perceptron(p, x, y, jnp.tanh), PERCEPTRON, X, Y)
    assert not found.generators
    assert set(found.fixed) == set(found.tensors)
    assert "tangent of l1.w" in found.fixed["l1.w"].statement
    assert found.verify(0).passed


def attention(p, x, eps=0.0):
    before = x @ p["before"]
    centred = before - before.mean(-1, keepdims=True)
    h = centred / jnp.sqrt(jnp.mean(centred**2, -1, keepdims=True) + eps)
    scores = jnp.where(jnp.tril(jnp.ones((16, 16), bool)), (h @ p["q"]) @ (h @ p["k"]).T, -jnp.inf)
    return jnp.mean((jax.nn.softmax(scores) @ (h @ p["v"]) @ p["o"] - x) ** 2)


ATTENTION = {name: normal(8, 8) * 0.3 for name in ("before", "q", "k", "v", "o", "dead")}


def test_attention_pairs_queries_with_keys_and_values_with_outputs():
    found = symmetries(attention, ATTENTION, X)
    assert said(found) == {"before ×k", "k ×k, q ÷k", "o ×k, v ÷k"}
    assert found.invariant == ("before",)
    assert found.unread == ("dead",)
    assert found.exact == found.generators
    assert found.verify(1).passed


def test_an_eps_guards_and_says_where_it_matters():
    found = symmetries(lambda p, x: attention(p, x, 1e-5), ATTENTION, X)
    (guarded,) = (g for g in found.generators if not g.exact)
    assert str(guarded) == "before ×k"
    assert {str(g) for g in found.exact} == {"k ×k, q ÷k", "o ×k, v ÷k"}
    ((guard, power),) = guarded.guards.items()
    assert (guard.eps, power) == (1e-5, 2)
    centred = np.asarray(X @ ATTENTION["before"])
    variance = centred.var(-1)
    np.testing.assert_allclose([guard.smallest, guard.typical], [variance.min(), np.median(variance)], rtol=6e-3)
    trial = next(t for t in found.verify(0).trials if t.generator == guarded)
    assert 1e-9 < trial.change < 1e-3
    assert trial.beyond < 1e-12


def test_verification_finds_a_wrong_generator():
    """Mutants: a generator that is none, and a tensor that is not fixed."""
    from dataclasses import replace
    from fractions import Fraction

    from lrtheory.dims.model import Fixed, Generator

    found = symmetries(perceptron, PERCEPTRON, X, Y)
    wrong = Generator({"l1.w": Fraction(1), "l2.w": Fraction(-1)})
    assert replace(found, generators=(wrong,)).verify(0).wrong == (wrong,)
    loose = symmetries(attention, ATTENTION, X)
    assert replace(loose, fixed={"before": Fixed(None, "nothing")}).verify(0).missed == ("before",)


@pytest.mark.parametrize(
    ("loss", "params", "error", "words"),
    [
        (lambda p: p["w"], {"w": np.ones(3)}, TypeError, "shape"),
        (lambda p: (jnp.sum(p["w"]), 0), {"w": np.ones(3)}, TypeError, "tuple"),
        (lambda p: float(jnp.sum(p["w"])), {"w": np.ones(3)}, ValueError, "cannot be traced"),
        (lambda p: p.pop("w").sum(), {"w": np.ones(3)}, ValueError, "changes the parameters"),
        (lambda p: jnp.sum(jnp.abs(p["w"])), {"w": np.ones(3, complex)}, TypeError, "complex"),
        (lambda p: jnp.sum(p["n"]) * 1.0, {"n": np.arange(3)}, ValueError, "no real array"),
        (3, {"w": np.ones(3)}, TypeError, "give a function"),
        (lambda p: jnp.sum(p["a.b"]), {"a.b": np.ones(2), "a": {"b": np.ones(2)}}, ValueError, "called 'a.b'"),
    ],
)
def test_bad_input_is_refused_in_a_sentence(loss, params, error, words):
    with pytest.raises(error, match=words):
        symmetries(loss, params)


def test_whole_numbers_are_data():
    found = symmetries(lambda p: jnp.sum(p["w"] ** 2 * p["n"]), {"w": np.ones(3), "n": np.arange(3)})
    assert found.tensors == ("w",)
    assert found.notes == ("not real, and taken as data: n",)


def test_what_was_not_seen_to_hold_does_not_pass():
    """A symmetry whose guards no scaling puts out of reach, and a verification that tried nothing."""
    generator = symmetries(lambda p: jnp.mean(p["a"] * p["b"]) ** 2, {"a": jnp.ones(2), "b": jnp.ones(2)}).generators[0]
    held = Trial(generator, 0.0, 0.0, 0.0)
    assert Verification((held,), {}, 1e-16).passed
    unseen = Verification((held, Trial(generator, 1e-3, math.nan, 0.0)), {}, 1e-16)
    assert unseen.untried == (generator,)
    assert not unseen.passed
    assert not unseen.wrong
    assert not Verification((), {}, 1e-16).passed


@pytest.mark.parametrize(
    ("loss", "words"),
    [
        (lambda p: jnp.sum(jax.ops.segment_prod(p["w"], jnp.array([0, 0, 1]), 2)), "has no derivative: scatter_mul"),
        (lambda p: jnp.sum(jnp.log(p["w"]) + jnp.log(-p["w"])), "the loss is nan at random parameters"),
    ],
)
def test_what_cannot_be_tried_is_said_in_a_sentence(loss, words):
    found = symmetries(loss, {"w": np.ones(3, np.float32)})
    with pytest.raises(ValueError, match=words):
        found.verify(0)


def test_what_a_branch_hands_on_is_read():
    params = {"a": np.ones(3, np.float32), "b": np.ones(3, np.float32)}
    found = symmetries(lambda p, x: jax.lax.cond(x > 0, lambda: p["a"], lambda: p["b"]).sum(), params, np.float32(1))
    assert not found.unread


def test_slopes_that_are_no_numbers_do_not_pass():
    def loss(p):
        ratio = p["w"] / p["scale"]
        return jnp.sum(ratio) + jnp.sqrt(jnp.sum((ratio - ratio) ** 2))

    found = symmetries(loss, {"w": np.ones(3, np.float32), "scale": np.ones(3, np.float32)}).verify(0)
    assert not found.wrong
    assert len(found.not_slopes) == 1
    assert not found.passed


def test_parameters_that_must_be_positive_are_tried_where_they_are():
    """At half of the places that are drawn the logarithm of a scale is nan, which says nothing of a symmetry."""
    params = {"w": np.ones(3, np.float32), "scale": np.ones(3, np.float32)}
    found = symmetries(lambda p: jnp.sum(jnp.log(p["w"] / p["scale"]) ** 2), params)
    assert [str(g) for g in found.generators] == ["scale ×k, w ×k"]
    assert all(found.verify(seed).passed for seed in range(4))


def test_a_gradient_that_is_nan_is_no_slope():
    """Of a length at 0, while the loss itself is finite."""
    found = symmetries(lambda p: jnp.linalg.norm(0 * p["w"]) / jnp.sum(jnp.abs(p["w"])), {"w": np.ones(3, np.float32)})
    assert [str(g) for g in found.generators] == ["w ×k"]
    tried = found.verify(0)
    assert not tried.passed
    assert tried.not_slopes == found.generators
