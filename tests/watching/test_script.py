"""``lrtheory watch``: scripts run as they are, whatever becomes of them."""

from __future__ import annotations

import json
import os
import runpy
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import schemas

from lrtheory.cli.app import run
from lrtheory.watching import Record

#: As a tutorial has it: a model of its own class, argparse, a scheduler, a part that is only for the main module.
SCRIPT = """
import argparse, os, sys, time
import torch
from beside import targets

class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.first = torch.nn.Linear(12, 12)
        self.last = torch.nn.Linear(12, 12)

    def forward(self, x):
        return self.last(torch.tanh(self.first(x)))

def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--end", default="")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    model = Net()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for step in range(arguments.steps):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(torch.randn(8, 12)), targets()).backward()
        optimizer.step()
    print("sum", sum(p.double().sum().item() for p in model.parameters()))
    if arguments.end == "raise":
        raise ValueError("planted")
    if arguments.end == "exit":
        sys.exit(3)
    if arguments.end == "leave":
        os._exit(4)
    if arguments.end == "wait":
        print("waiting", flush=True)
        time.sleep(60)

if __name__ == "__main__":
    main()
"""
BESIDE = "import torch\ndef targets():\n    return torch.randint(3, (8,))\n"
#: A shell that starts in the background has its children ignore an interrupt.
FRONT = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); from lrtheory.cli import main; main()"


def test_page_of_the_docs_does_what_it_says(tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    monkeypatch.chdir(tmp_path)
    page = (Path(__file__).parents[2] / "docs" / "watching.md").read_text()
    exec(page.split("```python\n")[1].split("```")[0], {})
    said = capsys.readouterr().out
    assert "AdamW: 100 steps, 10 measured, 0 skipped" in said
    assert "weight decay acts on norms and biases too" in said


@pytest.fixture(scope="module")
def place(tmp_path_factory: Any) -> Iterator[Path]:
    where = tmp_path_factory.mktemp("script")
    (where / "train.py").write_text(SCRIPT)
    (where / "beside.py").write_text(BESIDE)
    yield where
    sys.modules.pop("beside", None)


@pytest.fixture
def front(place: Path, monkeypatch: Any, capsys: Any) -> Callable[..., tuple[int, str, str]]:
    """The command in this process, in the script's folder: status, stdout and stderr."""
    monkeypatch.chdir(place)

    def called(*arguments: str) -> tuple[int, str, str]:
        status = run(["watch", *arguments])
        return status, *capsys.readouterr()

    return called


def command(*arguments: str) -> tuple[list[str], dict[str, str]]:
    """The command as a process of its own, and its environment."""
    return [sys.executable, "-c", FRONT, "watch", *arguments], {**os.environ, "PYTHONPATH": str(Path.cwd())}


def test_script_runs_unchanged_and_its_optimizer_is_found(place: Path, monkeypatch: Any, capsys: Any) -> None:
    words, environment = command("--every", "2", "--out", "plain", "train.py", "--steps", "7")
    done = subprocess.run(words, cwd=place, capture_output=True, text=True, timeout=240, env=environment)
    monkeypatch.chdir(place)
    monkeypatch.syspath_prepend(place)
    monkeypatch.setattr(sys, "argv", ["train.py", "--steps", "7"])
    runpy.run_path("train.py", run_name="__main__")
    assert (done.returncode, done.stdout) == (0, capsys.readouterr().out)
    assert "first.weight" in done.stderr
    told = json.loads((place / "plain" / "summary.json").read_text())
    assert [row["name"] for row in told["tensors"]] == ["first.weight", "first.bias", "last.weight", "last.bias"]
    assert told["optimizers"] == [{"name": "Adam", "kind": "Adam", "steps": 7, "measured": 4, "skipped": 0}]
    assert told["ended"]


def test_script_that_fails_keeps_its_status_and_its_traceback(place: Path, front: Any) -> None:
    status, _, said = front("--out", "raised", "train.py", "--end", "raise")
    assert status == 1
    shown = said[said.index("Traceback") :].splitlines()
    assert shown[1].startswith('  File "train.py", line')
    assert "ValueError: planted" in shown
    assert json.loads((place / "raised" / "summary.json").read_text())["optimizers"][0]["steps"] == 20


def test_script_that_does_not_begin_is_told_of_as_python_tells(place: Path, front: Any) -> None:
    (place / "shell.sh").write_text("echo hi\n")
    status, _, said = front("shell.sh")
    assert status == 1
    assert '  File "shell.sh", line 1' in said.splitlines()
    assert "runpy" not in said


def test_exit_status_is_the_scripts_and_json_is_alone_on_stdout(front: Any) -> None:
    status, out, said = front("--json", "--out", "exited", "train.py", "--end", "exit")
    assert status == 3
    assert schemas.fault(json.loads(out)) is None
    assert said.startswith("sum ")


@pytest.mark.deep  # test_bad_input.py ends a process that is watched in every run
def test_script_that_leaves_at_once_leaves_a_record_that_is_read_again(place: Path, front: Any) -> None:
    words, environment = command("--every", "5", "--out", "left", "train.py", "--end", "leave")
    assert subprocess.run(words, cwd=place, timeout=240, env=environment).returncode == 4
    assert [step.number for step in Record(place / "left").steps] == [0, 5, 10, 15]
    status, _, said = front("left")
    assert status == 0
    assert "the recording was not closed" in said


def test_bad_input_is_refused_in_one_line(place: Path, front: Any) -> None:
    (place / "empty").mkdir()
    for arguments, words in (
        (["nowhere.py"], "no script nowhere.py"),
        (["empty"], "is a directory without a record.jsonl"),
        (["--every", "0", "train.py"], "--every"),
    ):
        status, _, said = front(*arguments)
        assert status == 2, said
        assert words in said
        assert said.count("\n") == 1


def test_terminal_shows_steps_as_they_come_and_an_interrupt_is_told_of(place: Path) -> None:
    """On a terminal of 100 columns; the script's own output goes past."""
    import pty
    import struct
    import termios
    from fcntl import ioctl

    ours, theirs = pty.openpty()
    ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
    words, environment = command("--every", "1", "--out", "stopped", "train.py", "--end", "wait")
    running = subprocess.Popen(words, cwd=place, env=environment | {"TERM": "xterm"}, stdout=theirs, stderr=theirs)
    os.close(theirs)
    said, asked = b"", False
    while True:
        try:
            part = os.read(ours, 4096)
        except OSError:  # the other end is closed
            break
        if not part:
            break
        said += part
        if b"waiting" in said and not asked:
            time.sleep(0.2)
            running.send_signal(signal.SIGINT)
            asked = True
    assert running.wait(timeout=60) == 130
    assert b"sum " in said
    assert b"step 19" in said
    assert b"first.weight" in said
    assert b"KeyboardInterrupt" in said
    assert json.loads((place / "stopped" / "summary.json").read_text())["ended"]
