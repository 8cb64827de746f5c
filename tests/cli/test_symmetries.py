"""``lrtheory symmetries``: what it prints and what it exits with."""

from __future__ import annotations

import json
import sys
import types

import jax.numpy as jnp
import numpy as np
import pytest

from lrtheory.cli.app import run
from lrtheory.dims.model import Verification


def loss(p, x):
    centred = x @ p["a"] - jnp.mean(x @ p["a"])
    normed = centred / jnp.sqrt(jnp.mean(centred**2) + 1e-5)
    return jnp.mean((jnp.maximum(normed @ p["b"], 0) @ p["c"] - 1.0) ** 2) + jnp.sum(jnp.exp(p["d"]))


def network():
    rng = np.random.default_rng(0)
    return loss, {name: rng.normal(size=(3, 3)) for name in "abcde"}, rng.normal(size=(4, 3))


def prints():
    print("hello")
    return network()


def shapes():
    import jax

    return loss, {name: jax.ShapeDtypeStruct((3, 3), np.float32) for name in "abcde"}, np.ones((4, 3), np.float32)


@pytest.fixture(autouse=True)
def module(monkeypatch):
    made = types.ModuleType("users_networks")
    for function in (network, prints, shapes, loss):
        setattr(made, function.__name__, function)
    vars(made)["number"] = lambda: 3
    monkeypatch.setitem(sys.modules, "users_networks", made)


def test_symmetries_guards_fixed_and_unread_are_told(capsys):
    assert run(["symmetries", "users_networks:network"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "2 scale symmetries a ×k up to [1] b ×k, c ÷k" in out
    assert "exact, whatever the eps b ×k, c ÷k" in out
    assert "guards [1] a value is not far above 1e-05; here it is" in out
    assert "d: takes the exponential of d (" in out
    assert "never read by the loss e" in out
    assert "verified in numbers: 2 of 2 symmetries hold" in out


def test_json_holds_all_of_it(capsys):
    assert run(["symmetries", "users_networks:network", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [g["exponents"] for g in told["generators"]] == [{"a": "1"}, {"b": "1", "c": "-1"}]
    assert [g["guards"] for g in told["generators"]] == [[0], []]
    assert told["guards"][0]["eps"] == 1e-5
    assert told["fixed"]["d"]["at"]["source"].endswith('jnp.sum(jnp.exp(p["d"]))')
    assert told["verified"]["passed"]


def test_shapes_are_read_but_not_tried(capsys):
    assert run(["symmetries", "users_networks:shapes"]) == 0
    assert "not verified: shapes alone cannot be run" in capsys.readouterr().out


def test_a_symmetry_that_fails_in_numbers_is_a_failure(monkeypatch, capsys):
    monkeypatch.setattr(Verification, "wrong", property(lambda self: tuple(t.generator for t in self.trials[:1])))
    assert run(["symmetries", "users_networks:network"]) == 1
    assert "1 of 2 symmetries hold" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("adam()", "give module:factory"),
        ("users_networks:prints", "must not print"),
        ("users_networks:number", "not a tuple (loss, params, *data)"),
        ("users_networks:loss", "missing"),
        ("users_networks:nothing", "has no 'nothing'"),
    ],
)
def test_bad_targets_are_refused_in_a_line(target, words, capsys):
    assert run(["symmetries", target]) == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1
