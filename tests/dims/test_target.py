"""A TARGET in text: what is read, and what is said of what cannot be."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

from lrtheory import dims, rules, spec
from lrtheory.cli.app import run
from lrtheory.dims.audit import row
from lrtheory.dims.target import TargetError, infer_target

HERE = str(Path(__file__).parent)


@pytest.fixture(autouse=True)
def _own_targets(monkeypatch, request):
    monkeypatch.syspath_prepend(HERE)
    if "torch." in request.node.name:
        pytest.importorskip("torch")


@pytest.mark.parametrize(
    ("text", "name", "module", "args", "kwargs"),
    [
        ("adam", "adam", None, (), {}),
        (" adam() ", "adam", None, (), {}),
        ("adam(lr=1e-3, beta2=0.95)", "adam", None, (), {"lr": 1e-3, "beta2": 0.95}),
        ("optax.adamw(1e-3)", "optax.adamw", None, (1e-3,), {}),
        ("torch.optim.Adam(betas=(0.9, 0.99), amsgrad=True)", "torch.optim.Adam", None, (),
         {"betas": (0.9, 0.99), "amsgrad": True}),
        ("a.b:c.d(-1, x='y')", "c.d", "a.b", (-1,), {"x": "y"}),
        ("m:f", "f", "m", (), {}),
        ("f(x='a:b')", "f", None, (), {"x": "a:b"}),
    ],
)  # fmt: skip
def test_spec_is_read(text, name, module, args, kwargs):
    read = spec.parse(text)
    assert (read.name, read.module, read.args, read.kwargs) == (name, module, args, kwargs)


@pytest.mark.parametrize(
    "text",
    ["", "adam(", "1 + 1", "adam(**{'lr': 1})", "adam(*[1])", "f(a=1, a=2)", "adam(lr=2**1e9)", "adam(lr=1/0)",
     "lambda: 1", "adam()()", "adam[0]", "a b:c", "[adam]", "__import__('os').system('x')", "adam(); sgd()",
     "adam(lr=" + "+".join("1" * 500) + ")", "(" * 300 + ")" * 300],
)  # fmt: skip
def test_spec_refuses_what_is_no_name_with_literals(text):
    with pytest.raises(spec.SpecError):
        spec.parse(text)


def test_spec_never_evaluates(monkeypatch):
    monkeypatch.setattr("builtins.eval", lambda *a: pytest.fail("evaluated"))
    monkeypatch.setattr(ast, "literal_eval", ast.literal_eval)
    assert spec.parse("adam(lr=1e-3)").kwargs == {"lr": 1e-3}


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("adam()", "proven"),
        ("adamw", "proven"),
        ("sgd(nesterov=True, momentum=0.9)", "proven"),
        ("radam()", "broken"),
        ("optax.adamw(1e-3)", "proven"),
        ("optax.lamb", "guarded"),
        ("optax.scale_by_adam", "proven"),
        ("torch.optim.Adam", "proven"),
        ("torch.optim.RMSprop(lr=1e-3, momentum=0.9)", "proven"),
        ("torch.optim.AdamW(lr=0.1, betas=(0.8, 0.9))", "proven"),
        ("user_targets:good", "proven"),
        ("user_targets:good(0.1)", "proven"),
        ("user_targets:hidden", "broken"),
    ],
)
def test_target_verdict(target, status):
    assert infer_target(target).status == status


@pytest.mark.parametrize(("every", "told"), [(4, 0), (16, 1), (0, 1)])
def test_law_that_no_number_was_seen_to_obey_is_told_of(every, told):
    found = infer_target(f"optax.MultiSteps(optax.sgd(0.1), every_k_schedule={every})")
    assert sum("in numbers nothing moved in 8 steps" in note for note in found.notes) == told, found.notes


def test_learning_rate_without_a_default_is_said():
    assert "learning_rate has no default: 1e-3" in infer_target("optax.adam").notes
    assert infer_target("optax.adam(0.1)").notes == ()


def test_hidden_constant_is_named_with_its_value():
    (broken,) = infer_target("user_targets:hidden").breaks
    assert broken.literal == pytest.approx(3e-7)
    assert "3e-07" in broken.statement


def test_constant_that_was_not_passed_is_named():
    import optax

    found = dims.infer(optax.adam, hyper={"learning_rate": 1e-3, "b1": 0.9})
    (broken,) = found.breaks
    assert "1e-08 (the eps that was not passed)" in broken.statement


def test_number_that_python_branches_on_is_held_and_said():
    found = infer_target("user_targets:branches")
    assert found.status == "proven"
    assert any(note.startswith("weight_decay is held at 0") for note in found.notes)
    assert set(found.hyper) == {"learning_rate"}


BAD = {
    "nonesuch": "no rule named 'nonesuch'",
    "adam(lr=-1)": "lr=-1",
    "adam(momentum=0.9)": "momentum",
    "nosuchmodule.adam": "cannot import nosuchmodule",
    "nosuchmodule:adam": "cannot import nosuchmodule",
    "optax.nosuchthing": "has no 'nosuchthing'",
    "optax.masked": "needs arguments: give inner, mask",
    "optax": "no rule named 'optax'",
    "user_targets:not_an_optimizer": "returned float, not an optimizer",
    "user_targets:a_number": "is int, not an optimizer",
    "user_targets:prints": "prints 'hello'",
    "user_targets:counts_calls": "changes global state (user_targets.calls)",
    "user_targets:rolls_dice": "changes global state (random)",
    "user_targets:needs_arguments": "needs arguments: give power",
    "user_targets:raises": "out of order",
    "torch.optim.Adam(lr=-1.0)": "Invalid learning rate",
    "torch.optim.Adam(nosuch=1)": "nosuch",
    "torch.optim.Optimizer": "Optimizer",
    "optax.adam(1, 2, 3, 4, 5, 6, 7, 8, 9, 10)": "10 arguments",
    "optax.adam(1e-3, learning_rate=1)": "given twice",
    "json:dumps": "json:dumps",
    "adam(": "cannot read",
    "adam(lr=x)": "lr=x is not a number",
    "adam(lr=open('x'))": "lr=open('x') is not a number",
}


@pytest.mark.parametrize("target", BAD)
def test_bad_target_is_one_clear_message(target, capsys):
    with pytest.raises(TargetError) as error:
        infer_target(target)
    assert BAD[target] in str(error.value)
    assert run(["dims", target]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.strip().splitlines()) == 1
    assert "Traceback" not in err


def test_text_and_a_factory_of_rules_are_told_what_to_do():
    with pytest.raises(TypeError, match=r"not text: lrtheory.dims.target.infer_target\('sgd'\) reads it"):
        dims.infer("sgd")
    with pytest.raises(TypeError, match=r"lion is the factory of a rule: call it, lion\(\)"):
        dims.infer(rules.lion)


@pytest.mark.parametrize(
    ("name", "meant"), [("paged_adamw_8bit", "adamw"), ("lion_32bit", "lion"), ("adamw_torch", "adamw")]
)
def test_name_that_another_library_has_leads_to_ours(name, meant):
    with pytest.raises(TargetError, match=f"no rule named '{name}'; did you mean '{meant}': there are"):
        infer_target(name)


def test_command_shows_the_table_and_underlines_the_line(capsys, monkeypatch):
    pytest.importorskip("torch")
    monkeypatch.setenv("COLUMNS", "150")
    assert run(["dims", "torch.optim.RAdam"]) == 0
    out = capsys.readouterr().out
    assert "exp_avg_sq" in out
    assert "× α²" in out
    assert "broken at" in out
    lines = out.splitlines()
    underline = next(i for i, line in enumerate(lines) if line.strip() and not line.strip().strip("^"))
    assert lines[underline - 1].strip() == "param.add_("
    assert "covers the branches" in out


def test_command_prints_all_of_it_as_json(capsys):
    assert run(["dims", "adadelta()", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["verdict"] == "proven"
    assert found["hyper"]["eps"] == {
        "units": "[loss]²/[param]²",
        "loss": "2",
        "param": "-2",
        "free": False,
        "tied": None,
    }
    assert run(["dims", "radam()", "--json"]) == 0
    broken = json.loads(capsys.readouterr().out)["breaks"][0]
    assert broken["at"]["file"].endswith("radam.py")
    assert len(broken["chain"]) >= 2


def test_an_audit_has_a_row_for_each_target(monkeypatch, capsys):
    monkeypatch.setattr("lrtheory.cli.dims.audit", lambda library: map(row, ("radam()", "optax.nosuch")))
    assert run(["dims", "--audit", "optax", "--json"]) == 0
    assert [each["status"] for each in json.loads(capsys.readouterr().out)["rows"]] == ["broken", "skipped"]


@pytest.mark.parametrize("arguments", [["dims"], ["dims", "adam()", "--audit", "torch"], ["dims", "--audit", "nosuch"]])
def test_command_refuses_what_it_cannot_do(arguments, capsys):
    assert run(arguments) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


def test_target_does_not_end_the_program_with_a_traceback(tmp_path):
    (tmp_path / "broken_module.py").write_text("raise SystemExit('bye')\n")
    done = subprocess.run(
        [sys.executable, "-c", "from lrtheory.cli import main; main()", "dims", "broken_module:f"],
        cwd=tmp_path, capture_output=True, text=True, env={"PYTHONPATH": str(tmp_path), "PATH": "/usr/bin:/bin"},
        check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "broken_module" in done.stderr
