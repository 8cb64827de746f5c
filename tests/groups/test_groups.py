"""Groups of parameters: the contract of a rule, what torch and optax do with theirs, and what is refused by name."""

from __future__ import annotations

import pickle
import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lrtheory import effective, groups, in_place, rules, sweep, wrappers
from lrtheory.compiling import quickly_compiled
from lrtheory.groups import _labels

PATTERNS = {"head": "head", "plain": ["*.bias", re.compile(r"norm")]}
STEPS = 30


def model(dtype: Any = "float32") -> dict[str, Any]:
    rng = np.random.default_rng(0)
    shapes = {
        "body": {"w": (4, 3), "bias": (3,)}, "norm": {"scale": (3,)}, "head": {"w": (3, 2), "b": ()},
    }  # fmt: skip
    draw = lambda shape: jnp.asarray(rng.standard_normal(shape), dtype)  # noqa: E731
    return jax.tree.map(draw, shapes, is_leaf=lambda x: isinstance(x, tuple))


def gradient(params: Any, t: Any) -> Any:
    return jax.tree.map(lambda p: jnp.sin(3 * p + t) * (1 + p * p), params)


def trained(rule: Any, hyper: Any, params: Any, steps: int = STEPS) -> Any:
    def step(carry: Any, t: Any) -> Any:
        params, state = carry
        return rule.step(hyper, params, state, gradient(params, t)), None

    run = lambda params: jax.lax.scan(step, (params, rule.init(params)), jnp.arange(steps, dtype=jnp.int32))[0]  # noqa: E731
    return quickly_compiled()(run)(params)


def alone(rule: Any, numbers: Any, params: Any, names: list[str]) -> dict[str, Any]:
    """Each parameter by itself: gradients here depend on their own parameter alone."""
    found, _ = trained(rule, rule.hyper(**numbers), {n: p for n, p in by_name(params).items() if n in names})
    return found


def by_name(tree: Any) -> dict[str, Any]:
    return dict(zip(_labels.names_of(tree), jax.tree.leaves(tree), strict=True))


#: label → parameters of the model.
IN = {"head": ["head.b", "head.w"], "plain": ["body.bias", "norm.scale"], "rest": ["body.w"]}


def check_groups(grouped: Any) -> None:
    """Each group is its own rule with its own hyperparameters, on its own parameters."""
    adam, sgd = rules.adamw(), rules.sgd()
    params = model()
    hyper = grouped.hyper(
        lr=0.01, rest={"lr": 0.02, "momentum": 0.9}, plain={"weight_decay": 0.0}, head={"lr_scale": 0.5}
    )
    found = by_name(trained(grouped, hyper, params)[0])
    expected = (
        alone(adam, {"lr": 0.005}, params, IN["head"])
        | alone(adam, {"lr": 0.01, "weight_decay": 0.0}, params, IN["plain"])
        | alone(sgd, {"lr": 0.02, "momentum": 0.9}, params, IN["rest"])
    )
    assert set(found) == set(expected)
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-6, err_msg=name)


def mixed(patterns: Any = None) -> Any:
    members = {"head": rules.adamw(), "plain": rules.adamw(), "rest": rules.sgd()}
    return groups.by_pattern(members, patterns or PATTERNS, default="rest")


def test_each_group_is_its_own_rule():
    check_groups(mixed())
    table = {"body": {"w": "rest", "bias": "plain"}, "norm": "plain", "head": "head"}
    check_groups(groups.by_label(dict(mixed().members), table))
    check_groups(groups.by_label(dict(mixed().members), lambda params: table))


class Dropped(groups.Groups):
    """A group that is left out of the step."""

    def step(self, hyper: Any, params: Any, state: Any, grads: Any) -> Any:
        moved, state = super().step(hyper, params, state, grads)
        return {**moved, "norm": params["norm"]}, state


class Swapped(groups.Groups):
    """Two groups with each other's labels."""

    def labels_of(self, params: Any) -> list[str]:
        other = {"head": "plain", "plain": "head"}
        return [other.get(label, label) for label in super().labels_of(params)]


class Shared(groups.Groups):
    """All groups with the hyperparameters of the first."""

    def inner(self, label: str, hyper: Any, *, scaled: bool = True) -> Any:
        found = super().inner(label, hyper)
        return found._replace(lr=super().inner("head", hyper).lr)


@pytest.mark.parametrize("mutant", [Dropped, Swapped, Shared])
def test_the_check_catches(mutant):
    with pytest.raises(AssertionError):
        check_groups(mutant(mixed().members, mixed().label))


def test_identity_holds_and_frozen_parameters_rest():
    """Δθ = −E⊙d − decay in every group; nothing of a frozen one moves, and it keeps no array."""
    members = {"head": rules.adamw(), "plain": None, "rest": rules.nadam()}
    grouped = groups.by_pattern(members, PATTERNS, default="rest")
    with jax.enable_x64(True):
        params = model("float64")
        hyper, state = grouped.hyper(lr=0.01, weight_decay=0.1), grouped.init(params)
        assert jax.tree.leaves(state.plain) == []
        step = quickly_compiled()(grouped.step)
        parts = quickly_compiled()(
            lambda hyper, p, s, g: (
                grouped.effective_lr(hyper, s),
                grouped.direction(hyper, p, s, g),
                grouped.decay(hyper, p, s, g),
            )
        )
        for t in range(8):
            grads = gradient(params, t)
            after, state = step(hyper, params, state, grads)
            e, d, decay = parts(hyper, params, state, grads)
            for p, q, *own in zip(*map(jax.tree.leaves, (params, after, e, d, decay)), strict=True):
                assert all(part.shape == p.shape for part in own)
                np.testing.assert_allclose(q - p, -own[0] * own[1] - own[2], rtol=1e-9, atol=1e-14)
            np.testing.assert_array_equal(after["norm"]["scale"], params["norm"]["scale"])
            assert not np.array_equal(after["body"]["w"], params["body"]["w"])
            params = after
        assert not np.any(e["norm"]["scale"])
        assert np.any(jax.tree.leaves(grouped.penalty(hyper, params, state))[1])
        root = grouped.scale(hyper, state)
        assert root["norm"]["scale"] is None
        assert root["head"]["w"].shape == (3, 2)


def test_measure_is_that_of_each_group():
    """Also through a wrapper around all groups."""
    params = model()
    grads = gradient(params, 0)
    scaled: Any = {"lr": 0.01, "rest": {"lr": 0.1}, "head": {"lr_scale": 0.5}}
    for around, more, exact in (
        (lambda rule: rule, {}, False),
        (wrappers.clip_by_global_norm, {"max_norm": 0.1}, True),
    ):
        grouped = around(mixed())
        hyper = grouped.hyper(**scaled, **more)

        @quickly_compiled()
        def measured(hyper: Any, params: Any, grads: Any, grouped: Any = grouped, exact: bool = exact) -> Any:
            after, state = grouped.step(hyper, params, grouped.init(params), grads)
            return effective.measure(grouped, hyper, state, grads, params, after, exact=exact)

        found = by_name_of_summaries(measured(hyper, params, grads))
        for name, lr, power in (("head.w", 0.005, 1), ("norm.scale", 0.01, 1), ("body.w", 0.1, 2)):
            one = found[name]
            np.testing.assert_allclose(one.nominal_lr, lr, rtol=1e-6)
            np.testing.assert_allclose(one.angular_lr, lr / one.param_norm**power, rtol=1e-5)
            assert (float(one.clip_factor) < 1) == bool(more)
    np.testing.assert_allclose(found["body.w"].mean, 0.1 * found["body.w"].clip_factor, rtol=1e-5)


def by_name_of_summaries(tree: Any) -> dict[str, effective.Summary]:
    leaves = jax.tree.leaves(tree, is_leaf=lambda x: isinstance(x, effective.Summary))
    return dict(zip(_labels.names_of(model()), leaves, strict=True))


def test_wrappers_stand_around_all_groups_or_one():
    params = model()
    inside = groups.by_pattern(
        {"head": wrappers.clip_by_norm(rules.sgd()), "rest": wrappers.accumulate(rules.sgd(), every=2)},
        {"head": "head"}, default="rest",
    )  # fmt: skip
    hyper = inside.hyper(lr=1.0, max_norm=0.5)
    grads = gradient(params, 0)
    once, state = inside.step(hyper, params, inside.init(params), grads)
    np.testing.assert_allclose(np.linalg.norm(once["head"]["w"] - params["head"]["w"]), 0.5, rtol=1e-4)
    np.testing.assert_array_equal(once["body"]["w"], params["body"]["w"])
    assert float(inside.clip_factor(hyper, params, state, grads)["body"]["w"]) == 1
    twice, state = inside.step(hyper, once, state, grads)
    np.testing.assert_allclose(twice["body"]["w"], params["body"]["w"] - grads["body"]["w"], rtol=1e-5)
    averaged = wrappers.average_weights(inside)
    _, kept = averaged.step(averaged.hyper(lr=1.0, max_norm=0.5), params, averaged.init(params), grads)
    np.testing.assert_allclose(kept.average["head"]["w"], once["head"]["w"])


def test_one_program_serves_all_numbers_and_vmap():
    grouped, params, traces = mixed(), model(), []

    @jax.jit
    def step(hyper: Any, params: Any) -> Any:
        traces.append(1)
        return grouped.step(hyper, params, grouped.init(params), params)[0]

    hypers = [grouped.hyper(lr=lr, rest={"momentum": m}) for lr, m in ((0.1, 0.0), (0.2, 0.9))]
    found = [step(hyper, params) for hyper in hypers]
    assert len(traces) == 1
    stacked = jax.tree.map(lambda *values: jnp.stack(values), *hypers)
    together = jax.vmap(step, (0, None))(stacked, params)
    for i, one in enumerate(found):
        for a, b in zip(
            jax.tree.leaves(jax.tree.map(lambda x, i=i: x[i], together)), jax.tree.leaves(one), strict=True
        ):
            np.testing.assert_allclose(a, b, rtol=1e-6)
    assert groups.by_pattern(rules.sgd(), {"a": "x*"}, default="b") is groups.by_pattern(
        rules.sgd(), {"a": "x*"}, default="b"
    )


def test_equal_groups_share_their_types_and_states_can_be_pickled():
    labels = {"body": {"w": "rest", "bias": "plain"}, "norm": "plain", "head": "head"}
    one, two = (groups.by_label(dict(mixed().members), dict(labels)) for _ in range(2))
    assert one is two
    params = model()
    hyper = one.hyper(lr=0.1)
    _, state = one.step(hyper, params, one.init(params), params)
    back = pickle.loads(pickle.dumps((hyper, state)))
    assert jax.tree.structure(back) == jax.tree.structure((hyper, state))
    expected, _ = mixed().step(mixed().hyper(), params, state, params)  # other groups with the same labels
    found, _ = in_place.step(mixed())(
        mixed().hyper(), jax.tree.map(jnp.copy, params), jax.tree.map(jnp.copy, state), params
    )
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)


def test_groups_agree_with_those_of_torch():
    """In float64 over a run, to 1e-12: param_groups of AdamW and SGD with layer-wise decay of lr."""
    torch = pytest.importorskip("torch")
    order = ["embedding", "block_0", "block_1", "head"]
    scales = groups.layer_decay(order, 0.75)
    rng = np.random.default_rng(0)
    first = {
        "embedding": {"w": (3, 2)},
        "block_0": {"w": (2, 2), "bias": (2,)},
        "block_1": {"w": (2, 2)},
        "head": {"w": (2,)},
    }
    first = jax.tree.map(rng.standard_normal, first, is_leaf=lambda x: isinstance(x, tuple))
    for rule, make, numbers in (
        (rules.adamw(), torch.optim.AdamW, {"weight_decay": 0.1}),
        (rules.sgd(), torch.optim.SGD, {"momentum": 0.9, "weight_decay": 0.1}),
    ):
        tensors = by_name(jax.tree.map(lambda p: torch.tensor(p, requires_grad=True), first))
        given = [
            {"params": [t for n, t in tensors.items() if n.startswith(label)], "lr": 0.01 * 0.75 ** (3 - i)} | (
                {"weight_decay": 0.0} if label == "head" else {}
            ) for i, label in enumerate(order)
        ]  # fmt: skip
        optimizer = make(given, lr=0.01, **numbers)
        for t in range(STEPS):
            for tensor in tensors.values():
                tensor.grad = torch.sin(3 * tensor.detach() + t) * (1 + tensor.detach() ** 2)
            optimizer.step()
        with jax.enable_x64(True):
            grouped = groups.by_pattern(rule, {label: label for label in order})
            own = scales | {"head": {**scales["head"], "weight_decay": 0.0}}
            found, _ = trained(grouped, grouped.hyper(lr=0.01, **numbers, **own), jax.tree.map(jnp.asarray, first))
        for name, value in by_name(found).items():
            np.testing.assert_allclose(value, tensors[name].detach(), rtol=1e-12, atol=1e-14, err_msg=name)


def test_groups_agree_with_those_of_optax():
    """In float64 to 1e-12, on a schedule, through lrtheory.optax too."""
    optax = pytest.importorskip("optax")
    import lrtheory.optax as ours

    label_of = {"body": {"w": "rest", "bias": "plain"}, "norm": "plain", "head": "head"}
    with jax.enable_x64(True):
        params = model("float64")
        schedule = lambda count: 0.1 / (1 + jnp.asarray(count, float))  # noqa: E731
        theirs = optax.partition(
            {
                "head": optax.adamw(schedule, weight_decay=0.1),
                "plain": optax.set_to_zero(),
                "rest": optax.sgd(0.005, momentum=0.9),
            },
            label_of,
        )
        grouped = groups.by_label({"head": rules.adamw(), "plain": None, "rest": rules.sgd()}, label_of)
        mine: Any = ours.transformation(
            grouped, head={"lr": schedule, "weight_decay": 0.1}, rest={"lr": 0.005, "momentum": 0.9}
        )

        def run(tx: Any) -> Any:
            def step(carry: Any, t: Any) -> Any:
                params, state = carry
                updates, state = tx.update(gradient(params, t), state, params)
                return (optax.apply_updates(params, updates), state), None

            return quickly_compiled()(
                lambda p: jax.lax.scan(step, (p, tx.init(p)), jnp.arange(STEPS, dtype=jnp.int32))[0]
            )(params)

        (expected, _), (found, state) = run(theirs), run(mine)
        for name, value in by_name(found).items():
            np.testing.assert_allclose(value, by_name(expected)[name], rtol=1e-12, atol=1e-14, err_msg=name)
        assert ours.rule(mine) is grouped
        np.testing.assert_allclose(state.learning_rate["head"], 0.1 / STEPS, rtol=1e-12)
        assert float(state.hyper.rest.momentum) == 0.9
        fresh = mine.init(params)
        still = fresh._replace(learning_rate={**fresh.learning_rate, "rest": jnp.zeros(())})
        updates, _ = mine.update(params, still, params)
    assert not np.any(updates["body"]["w"])
    assert np.any(updates["head"]["w"])


def quadratic(params: Any, data: Any) -> Any:
    return sum(jnp.sum((p - 1) ** 2) for p in jax.tree.leaves(params)) * data


def test_sweeps_run_over_numbers_of_all_groups_and_of_one():
    from lrtheory import schedules

    grouped, params = groups.by_pattern(rules.sgd(), {"head": "head"}, default="rest"), model()
    over = sweep.grid(rule=grouped, lr=[0.01, 0.1], **{"head.lr_scale": [0.0, 1.0]})
    found = sweep.run(
        quadratic, params, np.float32(1.0), over, steps=4, record=[4], summarise=True,
        schedule=lambda lr: schedules.step(lr=lr, step_size=2, gamma=0.5),
        evaluate=lambda params: {"head": jnp.sum(params["head"]["w"]), "body": jnp.sum(params["body"]["w"])},
    )  # fmt: skip
    for i, lr in enumerate((0.01, 0.1)):
        left = (1 - 2 * lr) ** 2 * (1 - lr) ** 2  # two steps of lr, two of half
        for j, scale in enumerate((0.0, 1.0)):
            ends = {"body": left, "head": left if scale else 1.0}
            for part, share in ends.items():
                p = np.asarray(params[part]["w"])
                np.testing.assert_allclose(found.evaluated[part][i, j], np.sum(1 + share * (p - 1)), rtol=1e-4)
    with pytest.raises(TypeError, match=r"axis 'body\.lr' is no hyperparameter"):
        sweep.run(quadratic, params, np.float32(1.0), sweep.grid(rule=grouped, **{"body.lr": [0.1]}), steps=1)


MEMBERS = {"a": rules.adam(), "b": rules.sgd()}
TREE = {"x": jnp.ones(2), "y": {"z": jnp.ones(1)}}
REFUSED: dict[str, tuple[Any, Any, str]] = {
    "a pattern that matches nothing": (
        lambda: groups.by_pattern(rules.adam(), {"a": ["x", "q*"]}, default="b").init(TREE), ValueError, r"pattern 'q\*' of 'a' matches none of the parameters x, y.z",
    ),
    "a parameter in two groups": (
        lambda: groups.by_pattern(rules.adam(), {"a": "x", "b": "*"}).init(TREE), ValueError, r"parameter x matches 'x' of 'a' and '\*' of 'b'",
    ),
    "a parameter in none": (lambda: groups.by_pattern(rules.adam(), {"a": "x"}).init(TREE), ValueError, "no pattern matches parameter y.z"),
    "an idle default": (lambda: groups.by_pattern(rules.adam(), {"a": "*"}, default="b").init(TREE), ValueError, "group 'b' has no parameter"),
    "an idle label": (lambda: groups.by_label(MEMBERS, {"x": "a", "y": "a"}).init(TREE), ValueError, "group 'b' has no parameter"),
    "an unknown label": (lambda: groups.by_label(MEMBERS, {"x": "a", "y": "c"}).init(TREE), ValueError, "no group 'c' among a, b"),
    "a label that is an array": (lambda: groups.by_label(MEMBERS, {"x": jnp.ones(2), "y": "a"}), TypeError, "labels must be text"),
    "labels of another tree": (lambda: groups.by_label(MEMBERS, {"x": "a"}).init(TREE), ValueError, "labels do not fit the parameters x, y.z"),
    "a label that is no name": (lambda: groups.by_label({"no decay": rules.adam()}, "no decay"), ValueError, "label 'no decay' must be a name"),
    "a label like a number": (lambda: groups.by_label({"lr": rules.adam()}, "lr"), ValueError, "label 'lr' is the name of a hyperparameter"),
    "a factory": (lambda: groups.by_label({"a": rules.adam}, "a"), TypeError, "call it"),
    "a label without a rule": (lambda: groups.by_pattern(MEMBERS, {"a": "x", "c": "y"}), ValueError, "'b' has no pattern"),
    "no pattern": (lambda: groups.by_pattern(rules.adam(), {"a": []}), ValueError, "'a' has no pattern"),
    "a pattern that is none": (lambda: groups.by_pattern(rules.adam(), {"a": [3]}), TypeError, "pattern 3 of 'a'"),
    "an unknown number": (lambda: groups.by_label(MEMBERS, {}).hyper(beta3=0.1), TypeError, "no group or hyperparameter 'beta3'"),
    "an unknown number of a group": (lambda: groups.by_label(MEMBERS, {}).hyper(b={"beta1": 0.1}), TypeError, r"group 'b': sgd\(\) has no hyperparameter 'beta1'"),
    "a number of a group without it": (lambda: groups.by_label(MEMBERS, {}).hyper(**{"c.lr": 0.1}), TypeError, "no group 'c'"),
    "a number twice": (lambda: groups.by_label(MEMBERS, {}).hyper(a={"lr": 0.1}, **{"a.lr": 0.1}), TypeError, "a.lr is given twice"),
    "a number for a group": (lambda: groups.by_label(MEMBERS, {}).hyper(a=0.1), TypeError, "a=0.1 must be a mapping"),
    "a number out of range": (lambda: groups.by_label(MEMBERS, {}).hyper(b={"lr": -1}), ValueError, r"group 'b': sgd\(\): lr=-1.0 is outside"),
    "a scale below 0": (lambda: groups.by_label(MEMBERS, {}).hyper(lr_scale=-1), ValueError, "lr_scale=-1.0 is outside"),
    "a number of what is frozen": (lambda: groups.by_label({"a": rules.adam(), "b": None}, {}).hyper(b={"lr": 0.1}), TypeError, "b is frozen and has no lr"),
    "another's hyperparameters": (
        lambda: mixed().step(rules.adam().hyper(), model(), mixed().init(model()), model()), TypeError, "takes GroupsHyper from its .hyper",
    ),
    "another's state": (lambda: mixed().step(mixed().hyper(), model(), rules.adam().init(model()), model()), TypeError, "GroupsState"),
    "gradients of another tree": (lambda: mixed().step(mixed().hyper(), model(), mixed().init(model()), TREE), ValueError, "structure of params"),
    "layers twice": (lambda: groups.layer_decay(["a", "a"], 0.5), ValueError, "each once"),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_bad_input_is_refused_by_name(what):
    make, error, said = REFUSED[what]
    with pytest.raises(error, match=said):
        make()


def test_names_of_any_tree():
    from typing import NamedTuple

    class Layer(NamedTuple):
        w: Any
        b: Any

    tree = {"mlp/~/linear_0": {"w": 1.0}, "layers": [Layer(1.0, None), (2.0,)], "none": None}
    assert _labels.names_of(tree) == ["layers.0.w", "layers.1.0", "mlp.~.linear_0.w"]
    assert _labels.names_of(jnp.ones(1)) == ["params"]
    rule = groups.by_pattern(rules.sgd(), {"a": "mlp/~/*", "b": "layers.0", "c": "layers.?.?"})
    with pytest.raises(ValueError, match=r"layers.0.w matches 'layers.0' of 'b' and 'layers.\?.\?' of 'c'"):
        rule.init(jax.tree.map(jnp.asarray, tree))


def test_gradients_of_none_and_absent_parameters():
    grouped = groups.by_pattern(rules.adamw(), {"a": "x"}, default="b")
    params: Any = {"x": jnp.ones(2), "y": {"z": jnp.ones(1), "none": None}}
    hyper, state = grouped.hyper(lr=0.1), grouped.init(params)
    after, state = grouped.step(hyper, params, state, {"x": None, "y": {"z": jnp.ones(1), "none": None}})
    np.testing.assert_array_equal(after["x"], params["x"])
    assert float(after["y"]["z"][0]) < 1
    assert after["y"]["none"] is None
    assert int(state.a.t["x"]) == 0
    assert int(state.b.t["y"]["z"]) == 1
    assert jax.tree.structure(grouped.effective_lr(hyper, state)) == jax.tree.structure(params)
