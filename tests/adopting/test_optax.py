"""A transformation of optax in our terms: its next step, its groups, and what is opaque."""

from __future__ import annotations

from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import lrtheory
from lrtheory.adopting import Adopted, AdoptError

optax = pytest.importorskip("optax")
pytest.importorskip("optax.contrib")

SCHEDULE = optax.linear_schedule(0.1, 0.01, 20)


def wide(params):
    return jax.tree.map(lambda p: p.ndim > 1, params)


#: Transformations that are our rules in every group.
RULED = {
    "sgd": lambda: optax.sgd(0.1),
    "sgd-momentum": lambda: optax.sgd(SCHEDULE, momentum=0.9, nesterov=True),
    "adam": lambda: optax.adam(0.1, eps=0.5),
    "adamw-mask": lambda: optax.adamw(SCHEDULE, weight_decay=0.1, mask=wide),
    "adamax": lambda: optax.adamax(0.1),
    "rmsprop": lambda: optax.rmsprop(0.1, eps_in_sqrt=False, centered=True, momentum=0.9),
    "adadelta": lambda: optax.adadelta(0.1, weight_decay=0.1),
    "adabelief": lambda: optax.adabelief(0.1, nesterov=True),
    "lion": lambda: optax.lion(0.1),
    "sign": lambda: optax.sign_sgd(0.1),
    "signum": lambda: optax.signum(0.1),
    "signum-decay": lambda: optax.chain(
        optax.ema(0.8, debias=False), optax.scale_by_sign(), optax.add_decayed_weights(0.1), optax.scale(-0.1)
    ),
    "lamb": lambda: optax.lamb(0.1, weight_decay=0.1),
    "lars": lambda: optax.lars(0.1, weight_decay=0.1, nesterov=True),
    "parts": lambda: optax.chain(
        optax.clip_by_global_norm(1.0),
        optax.scale_by_adam(),
        optax.add_decayed_weights(0.1, wide),
        optax.scale_by_learning_rate(SCHEDULE),
    ),
    "clipped-coupled": lambda: optax.chain(
        optax.clip(0.5), optax.add_decayed_weights(0.1), optax.scale_by_adam(), optax.scale_by_learning_rate(0.1)
    ),
    "named": lambda: optax.named_chain(("a", optax.scale_by_lion()), ("b", optax.scale(-1.0)), ("c", optax.scale(0.1))),
    "partition": lambda: optax.chain(
        optax.clip_by_global_norm(1.0),
        optax.multi_transform({"x": optax.adam(0.1), "y": optax.sgd(0.1, 0.9)}, {"a": {"w": "x", "b": "y"}, "c": "y"}),
    ),
    "injected": lambda: optax.inject_hyperparams(optax.adamw)(SCHEDULE, b1=0.8, weight_decay=0.1),
    "accumulated": lambda: optax.MultiSteps(optax.chain(optax.clip_by_global_norm(1.0), optax.adam(0.1)), 4),
    "gathering": lambda: optax.MultiSteps(optax.adam(0.1), 3).gradient_transformation(),
    "schedule-free": lambda: optax.contrib.schedule_free_sgd(0.1, weight_decay=0.1),
    "schedule-free-adamw": lambda: optax.contrib.schedule_free_adamw(0.1, weight_decay=0.1),
    "finite": lambda: optax.apply_if_finite(optax.adam(0.1), 3),
}


@pytest.fixture(autouse=True)
def _float64() -> Iterator[None]:
    with jax.enable_x64(True):
        yield


class Run:
    """Parameters and state after some steps."""

    def __init__(self, tx, steps: int = 3) -> None:
        self.rng, self.tx, self.update = np.random.default_rng(0), tx, jax.jit(tx.update)
        self.params = {"a": {"w": self.normal((4, 3)), "b": self.normal((5,))}, "c": self.normal((2, 2))}
        self.state = tx.init(self.params)
        for _ in range(steps):
            self.params, self.state = self.after(self.drawn())

    def normal(self, shape):
        return jnp.asarray(self.rng.normal(size=shape))

    def drawn(self):
        return jax.tree.map(lambda p: 3 * self.normal(p.shape), self.params)

    def after(self, grads):
        updates, state = self.update(grads, self.state, self.params)
        return optax.apply_updates(self.params, updates), state


def flat(tree) -> dict[str, np.ndarray]:
    return {"a/b": tree["a"]["b"], "a/w": tree["a"]["w"], "c": tree["c"]}


def off(found: Adopted, run: Run) -> float:
    grads = run.drawn()
    theirs, ours = flat(run.after(grads)[0]), found.next_params(flat(grads))
    assert set(ours) == set(theirs)
    return max(float(np.abs(ours[name] - theirs[name]).max()) for name in theirs)


@pytest.mark.parametrize("name", RULED)
def test_adopted_optax_takes_the_next_step(name: str) -> None:
    run = Run(RULED[name]())
    found = lrtheory.adopt(run.tx, run.state, run.params, check=False)
    assert [group.reason for group in found.groups if group.rule is None] == []
    assert off(found, run) < 1e-12
    assert lrtheory.adopt((run.tx, run.state, run.params)).groups[0].rule is found.groups[0].rule


def test_numbers_in_force_and_names_are_those_of_the_tree() -> None:
    run = Run(RULED["parts"]())
    found = lrtheory.adopt(run.tx, run.state, run.params)
    plain, decayed = sorted(found.groups, key=lambda group: group.hyper.weight_decay)
    assert (plain.names, decayed.names) == (("a/b",), ("a/w", "c"))
    assert decayed.hyper.weight_decay == 0.1
    assert plain.lr == decayed.hyper.lr == pytest.approx(float(SCHEDULE(3)), rel=1e-6)
    assert [around.numbers for around in found.around] == [{"max_norm": 1.0}]
    assert {int(t) for t in decayed.state.t.values()} == {3}
    assert "schedule" in found.notes[0]


def test_labels_and_frozen_parameters() -> None:
    tx = optax.multi_transform({"x": optax.adam(0.1), "still": optax.set_to_zero()}, {"a": "x", "c": "still"})
    run = Run(tx)
    moving, still = lrtheory.adopt(run.tx, run.state, run.params).groups
    assert (moving.label, still.label) == ("x", "still")
    assert moving.rule is lrtheory.rules.adam()
    assert still.rule is None
    assert still.lr == 0
    assert "do not move" in still.reason


def test_a_group_of_ones_own_leaves_the_others_as_they_are() -> None:
    run = Run(optax.multi_transform({"x": optax.adam(0.1), "y": mine(0.1)}, {"a": "x", "c": "y"}))
    known, own = lrtheory.adopt(run.tx, run.state, run.params).groups
    assert (known.label, known.rule) == ("x", lrtheory.rules.adam())
    assert own.rule is None
    assert "not of optax" in own.reason


def test_injected_numbers_are_those_that_were_set() -> None:
    run = Run(optax.inject_hyperparams(optax.sgd)(0.1, momentum=0.9))
    run.state.hyperparams["learning_rate"] = jnp.asarray(0.02)
    assert lrtheory.adopt(run.tx, run.state, run.params).groups[0].lr == pytest.approx(0.02)


def mine(decay):
    """An optimizer of one's own that calls itself by a name of optax's."""

    def scale_by_adam(b1, b2):
        def update_fn(updates, state, params=None):
            return jax.tree.map(lambda g: -decay * g, updates), state

        update_fn.__module__, update_fn.__qualname__ = "optax._src.transform", "scale_by_adam.<locals>.update_fn"
        return optax.GradientTransformation(lambda p: (), update_fn)

    return scale_by_adam(0.9, 0.999)


OPAQUE = {
    "another rule": (lambda: optax.nadam(0.1), "nesterov"),
    "eps inside": (lambda: optax.rmsprop(0.1), "eps_in_sqrt"),
    "no rule": (lambda: optax.adagrad(0.1), "scale_by_rss"),
    "one's own": (lambda: mine(0.1), "not of optax"),
    "one's own in a chain": (lambda: optax.chain(optax.clip(1.0), mine(0.1)), "not of optax"),
    "a late clip": (
        lambda: optax.chain(optax.scale_by_adam(), optax.clip(1.0), optax.scale(-0.1)),
        "optax.clip(max_delta=1.0) where",
    ),
    "up the gradient": (lambda: optax.chain(optax.scale_by_adam(), optax.scale(0.1)), "up the gradient"),
    "masked out": (lambda: optax.masked(optax.adam(0.1), False), "no part acts"),
    "a warm-up of its own": (lambda: optax.contrib.schedule_free_sgd(0.1, warmup_steps=5), "ours have one"),
    "sums": (lambda: optax.MultiSteps(optax.adam(0.1), 2, use_grad_mean=False), "mean"),
    "a stateless function": (lambda: optax.stateless(lambda g, p: jax.tree.map(lambda x: -x, g)), "none of our rules"),
}


@pytest.mark.parametrize("name", OPAQUE)
def test_what_is_unknown_is_opaque_and_says_why(name: str) -> None:
    make, said = OPAQUE[name]
    run = Run(make(), 1)
    groups = lrtheory.adopt(run.tx, run.state, run.params).groups
    assert groups
    assert all(group.rule is None and said in group.reason for group in groups)


def test_a_state_that_is_not_theirs_is_found_by_its_step() -> None:
    run = Run(optax.adam(0.1))
    adam, rest = run.state
    swapped = (adam._replace(mu=jax.tree.map(lambda v: -3 * v, adam.mu)), rest)
    taken = lrtheory.adopt(run.tx, swapped, run.params)
    assert off(taken, run) > 1e-3
    (strange,) = lrtheory.adopt(run.tx, (rest, adam), run.params, check=False).groups
    assert "its own is ScaleByAdamState" in strange.reason


def test_a_wrong_reading_is_seen_beside_theirs(monkeypatch: pytest.MonkeyPatch) -> None:
    from lrtheory.names import optax as names

    run = Run(optax.adam(0.1))
    wrong = {**names.STATE, "adam": {"t": "count", "m": "nu", "v": "mu"}}
    monkeypatch.setattr(names, "STATE", wrong)
    (group,) = lrtheory.adopt(run.tx, run.state, run.params).groups
    assert group.rule is None
    assert "beside theirs" in group.reason


@pytest.mark.parametrize("name", ["adamw-mask", "lars"])
def test_the_check_allows_for_rounding_in_float32(name: str) -> None:
    with jax.enable_x64(False):
        run = Run(RULED[name]())
        found = lrtheory.adopt(run.tx, run.state, run.params)
        assert [group.reason for group in found.groups if group.rule is None] == []
        assert found.groups[0].params["a/b"].dtype == np.float32


def test_without_parameters_the_state_says_what_they_are_like() -> None:
    run = Run(optax.adam(0.1))
    (group,) = lrtheory.adopt(run.tx, run.state).groups
    assert group.names == ("a/b", "a/w", "c")
    assert not group.params
    np.testing.assert_array_equal(group.state.m["c"], run.state[0].mu["c"])
    run = Run(optax.sgd(0.1))
    with pytest.raises(AdoptError, match="give them too"):
        lrtheory.adopt(run.tx, run.state)


def test_what_is_no_optimizer_is_refused() -> None:
    with pytest.raises(TypeError, match="with its state"):
        lrtheory.adopt(optax.adam(0.1))
    with pytest.raises(TypeError, match="not dict"):
        lrtheory.adopt({})


@pytest.mark.parametrize("name", ["nadam", "asgd", "rmsprop"])
def test_rule_of_ours_is_read_whether_or_not_optax_has_it(name):
    """It keeps our state: nothing of it is looked up under optax's names, and no lr stands inside it."""
    rule = lrtheory.rules.get(name)()
    numbers = {"momentum": 0.9} if name == "rmsprop" else {}
    tx, params = lrtheory.optax.transformation(rule, 0.01, **numbers), {"w": jnp.ones(3)}
    _, state = tx.update(params, tx.init(params), params)
    (group,) = lrtheory.adopt(tx, state, params).groups
    assert (group.rule, group.notes, group.hyper.lr) == (rule, (), pytest.approx(0.01))
