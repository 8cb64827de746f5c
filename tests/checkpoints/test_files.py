"""Files are read without running anything in them; what cannot be read is refused in one line and left as it was."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path

import pytest
import torch

from lrtheory.cli.app import run as lrtheory

from .saved_runs import run
from .test_planted import count_reset


def test_resume_says_what_is_wrong(tmp_path, capsys):
    saved = run()
    torch.save(saved, tmp_path / "sound.pt")
    assert lrtheory(["resume", str(tmp_path / "sound.pt")]) == 0
    out = capsys.readouterr().out
    assert "torch.optim.AdamW at optimizer: 8 tensors in 2 groups, 120 steps" in out
    assert "nothing wrong was found" in out
    count_reset(saved)
    torch.save(saved, tmp_path / "reset.pt")
    assert lrtheory(["resume", str(tmp_path / "reset.pt")]) == 1
    assert "count-does-not-fit-moments (proven): The count of 0.weight" in capsys.readouterr().out
    assert lrtheory(["resume", str(tmp_path / "reset.pt"), "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert told["sound"] is False
    assert told["faults"][0]["id"] == "count-does-not-fit-moments"


class Code:
    """What a stranger's pickle runs when it is loaded."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (str(self.marker),)


def bad_files(folder: Path) -> dict[str, tuple[Path, str]]:
    """Each with what must be said of it."""
    whole = folder / "whole.pt"
    torch.save(run(), whole)
    (folder / "cut.pt").write_bytes(whole.read_bytes()[:-4000])
    (folder / "empty.pt").touch()
    (folder / "text.pt").write_text("{}")
    (folder / "folder").mkdir()
    torch.save({"optimizer": run()["optimizer"], "more": Code(folder / "marker")}, folder / "code.pt")
    (folder / "plain.pkl").write_bytes(pickle.dumps({"optimizer": Code(folder / "marker")}))
    torch.save(torch.nn.Linear(2, 2), folder / "module.pt")
    torch.save(run()["model"], folder / "weights.pt")
    torch.save({"optimizer": {"state": [], "param_groups": 3}}, folder / "shape.pt")
    torch.save(torch.ones(3), folder / "tensor.pt")
    whole.unlink()
    said = {
        "cut.pt": "is no whole file of torch.save",
        "empty.pt": "is no whole file of torch.save",
        "text.pt": "is no whole file of torch.save",
        "folder": "",
        "code.pt": "that only running its code would make",
        "plain.pkl": "",
        "module.pt": "torch.nn.modules.linear.Linear",
        "weights.pt": "holds weights and no optimizer",
        "shape.pt": "param_groups is no list of groups",
        "tensor.pt": "holds a Tensor",
        "missing.pt": "no file or folder",
    }
    return {name: (folder / name, what) for name, what in said.items()}


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_bad_input_is_refused_in_one_line(tmp_path, capsys):
    files = bad_files(tmp_path)
    before = contents(tmp_path)
    for name, (path, said) in files.items():
        assert lrtheory(["resume", str(path)]) == 2, name
        err = capsys.readouterr().err
        assert err.count("\n") == 1, err
        assert said in err, err
        assert str(path) in err, err
    assert contents(tmp_path) == before
    assert not (tmp_path / "marker").exists()


def test_code_of_the_test_runs_where_it_is_let(tmp_path):
    torch.save(Code(tmp_path / "marker"), tmp_path / "code.pt")
    torch.load(tmp_path / "code.pt", weights_only=False)
    assert (tmp_path / "marker").exists()


@pytest.mark.parametrize("spec", ["adamw(", "nonsense()", "torch.optim.AdamW(speed=3)"])
def test_spec_that_is_none_is_bad_input(spec, tmp_path, capsys):
    torch.save(run(), tmp_path / "sound.pt")
    code = lrtheory(["resume", str(tmp_path / "sound.pt"), "--optimizer", spec])
    err = capsys.readouterr().err
    assert code == 2, err
    assert err.count("\n") == 1


def test_spec_that_fits_is_sound_and_another_is_named(tmp_path, capsys):
    torch.save(run(), tmp_path / "sound.pt")

    def resume(spec: str) -> tuple[int, str]:
        return lrtheory(["resume", str(tmp_path / "sound.pt"), "--optimizer", spec]), capsys.readouterr().out

    assert resume("torch.optim.AdamW(lr=1e-3, weight_decay=0.1)")[0] == 0
    assert resume("adamw(lr=1e-3, weight_decay=0.1)")[0] == 0
    for spec, id in [
        ("torch.optim.SGD(lr=1e-3, momentum=0.9)", "other-optimizer"),
        ("torch.optim.Adamax(lr=1e-3)", "other-optimizer"),
        ("lion(lr=1e-3)", "other-optimizer"),
        ("torch.optim.AdamW(lr=1e-3, weight_decay=0.1, betas=(0.9, 0.95))", "other-numbers"),
    ]:
        code, out = resume(spec)
        assert code == 1, spec
        assert id in out, spec
