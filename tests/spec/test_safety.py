"""A SPEC is no way to run code (A2), and no text makes a reader fall over (C6)."""

from __future__ import annotations

from pathlib import Path

import pytest

from lrtheory.cli.app import run
from lrtheory.spec import SpecError, parse, resolve

HOSTILE = [
    "os.system('touch {0}')",
    "subprocess.getoutput('touch {0}')",
    "builtins.eval('open({0!r}, \"w\")')",
    "eval('open({0!r}, \"w\")')",
    "pathlib.Path('{0}').touch()",
    "os:system('touch {0}')",
    "subprocess:getoutput('touch {0}')",
    "builtins:exec('open({0!r}, \"w\")')",
    "numpy.save('{0}', 1)",
    "jax.numpy.save('{0}', 1)",
    "torch.save(1, '{0}')",
    "torch.optim.os.system('touch {0}')",
    "torch.utils.cpp_extension.os.system('touch {0}')",
    "optax._src.base.jax.numpy.save('{0}', 1)",
    "optax.jax.numpy.save('{0}', 1)",
    "optax.adam.__globals__",
    "optax.adam.__class__('touch {0}')",
    "optax.chain(optax.sgd(0.1), os.system('touch {0}'))",
    "optax.sgd(os.system('touch {0}'))",
    "optax.sgd(optax.tree.map(optax.sgd, os.system('touch {0}')))",
    "optax.inject_hyperparams(os.system)('touch {0}')",
    "torch.optim.SGD(os.system('touch {0}'), lr=0.1)",
    "adam(lr=open('{0}', 'w'))",
    "lrtheory.cli.main('{0}')",
    "().__class__.__bases__[0].__subclasses__()",
    "rule = os.system('touch {0}')\nhyper = rule.hyper(lr=0.1)",
    "lion_pytorch.lion_pytorch.exists('{0}')",
    "lion_pytorch.foreach.torch.save(1, '{0}')",
]


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("command", ["explain", "dims", "diagnose"])
def test_hostile_text_is_refused_and_nothing_is_run(
    text: str, command: str, tmp_path: Path, capsys, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "PWNED"
    given = text.replace("{0!r}", repr(str(file))).replace("{0}", str(file))
    expected = 0 if given.startswith("torch.optim.SGD(") else 2  # what stands for the parameters is text
    assert run([command, given, *(["adam(lr=0.1)"] if command == "diagnose" else [])]) == expected
    assert not file.exists()
    err = capsys.readouterr().err
    assert len(err.strip().splitlines()) == (0 if expected == 0 else 1)


def test_planted_call_would_be_seen(tmp_path: Path) -> None:
    """The texts do what they say where they are evaluated."""
    file = tmp_path / "PWNED"
    import os

    eval(HOSTILE[0].format(file), {"os": os})
    assert file.exists()


@pytest.mark.parametrize(
    "text",
    [
        "adam(lr=" + "1+" * 5000 + "x)",
        ".".join("a" * 3000),
        "adam(lr=" + "-" * 3000 + "1)",
        "adam(lr=1" + "0" * 400 + ")",
        "adam(lr=1e400)",
        "optax.chain(" * 200 + "optax.sgd(0.1)" + ")" * 200,
        "adam(lr=" + "[" * 90 + "]" * 90 + ")",
        "x" * 100_000,
    ],
)
def test_deep_and_long_texts_are_one_line(text: str, capsys) -> None:
    assert run(["explain", text]) == 2
    err = capsys.readouterr().err
    assert len(err.strip().splitlines()) == 1
    assert len(err) < 2000


@pytest.mark.parametrize(
    "text", ["optax.losses.l2_loss(1)", "optax.apply_updates(1, 2)", "torch.optim.Optimizer.step()", "keras.Model()"]
)
def test_what_makes_no_optimizer_is_not_called(text: str) -> None:
    with pytest.raises(SpecError):
        resolve(parse(text))
