"""The front door answers fast, and says in one line what is wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from lrtheory.cli.app import run

HEAVY = ("jax", "torch", "optax", "altair", "sklearn", "numpy")


def python(code: str, *arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, cwd=cwd, timeout=120
    )


def lrtheory(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return python("from lrtheory.cli import main; main()", *arguments, cwd=cwd)


def imported_by(*statements: str, of: tuple[str, ...] = HEAVY) -> list[list[str]]:
    """Which of those packages a program has imported after each statement."""
    tell = f"print('IMPORTED', *[n for n in {of!r} if n in sys.modules])"
    done = python("\n".join(["import sys", *(f"{statement}\n{tell}" for statement in statements)]))
    assert done.returncode == 0, done.stderr
    found = [line.split()[1:] for line in done.stdout.splitlines() if line.startswith("IMPORTED")]
    assert len(found) == len(statements)
    return found


def called(*arguments: str) -> str:
    """A statement that runs the command line."""
    run_it = "from lrtheory.cli import main\ntry:\n    main()\nexcept SystemExit as end:\n    assert not end.code"
    return f"sys.argv = {['lrtheory', *arguments]!r}\n{run_it}"


def test_imported_by_sees_an_import():
    assert imported_by("import json", "import numpy", "pass") == [[], ["numpy"], ["numpy"]]


def test_help_imports_no_framework():
    """Of every command, of those that are added later too: the commands are asked for in the program itself."""
    every = (
        "from lrtheory.cli.app import app, run\n"
        "commands = [c.name or c.callback.__name__ for c in app.registered_commands]\n"
        "commands += [g.name for g in app.registered_groups]\n"
        "assert len(commands) >= 3, commands\n"
        "assert all(run([c.replace('_', '-'), '--help']) == 0 for c in commands)\n"
    )
    assert imported_by(called("--help"), called("--version"), called(), every) == [[]] * 4


def test_rules_bring_nothing_that_they_do_not_need():
    """What an import costs in time is measured in benchmarks/start_up.py; here stands what must not be part of it."""
    unneeded = (
        "lrtheory.dims._jaxpr.walk",
        "lrtheory.laws",
        "lrtheory.sweep",
        "lrtheory.quadratic",
        "lrtheory.explaining",
    )
    found = imported_by("import lrtheory.rules, lrtheory.effective", "import lrtheory; lrtheory.laws", of=unneeded)
    assert found == [[], ["lrtheory.laws"]]


def test_import_lrtheory_is_light():
    outside = (
        "torch",
        "optax",
        "hypothesis",
        "matplotlib",
        "altair",
        "vl_convert",
        "plotly",
        "sklearn",
        "typer",
        "rich",
    )
    rooms = "lrtheory.effective; lrtheory.schedules; lrtheory.dims"
    assert imported_by("import lrtheory", "lrtheory.rules.adam()", rooms, of=(*outside, "jax")) == [
        [],
        ["jax"],
        ["jax"],
    ]


def test_submodules_are_found_by_name():
    done = python("import lrtheory; print(lrtheory.rules.sgd().name, 'rules' in dir(lrtheory)); lrtheory.rulez")
    assert done.stdout.split() == ["sgd", "True"]
    assert "has no attribute 'rulez'" in done.stderr


def test_version_is_the_packages():
    from importlib.metadata import version

    done = lrtheory("--version")
    assert (done.returncode, done.stdout.split()) == (0, ["lrtheory", version("lrtheory")])


def test_help_names_the_commands(capsys):
    assert run(["--help"]) == 0
    out = capsys.readouterr().out
    assert "report" in out
    assert "replay" in out


@pytest.mark.parametrize(
    ("arguments", "quoted"),
    [
        pytest.param(["replay", "adamm"], "adamm", id="unknown-rule"),
        pytest.param(["replay", "--dtype", "float8"], "float8", id="unknown-dtype"),
        pytest.param(["report", "--seed", "-1"], "-1", id="negative-seed"),
        pytest.param(["report", "--seed", "one"], "one", id="seed-no-number"),
        pytest.param(["report", "--out", "file"], "file", id="out-is-a-file"),
        pytest.param(["report", "--out", "file/below"], "file/below", id="out-under-a-file"),
        pytest.param(["report", "--out", "/proc/report"], "/proc/report", id="out-not-writable"),
        pytest.param(["report", "--fast"], "--fast", id="unknown-option"),
        pytest.param(["dims", "--audit", "tensorflow"], "tensorflow", id="unknown-library"),
        pytest.param(["repot"], "repot", id="unknown-command"),
        pytest.param(["check", "--only", "schedule"], "--only is about a TARGET", id="option-of-nothing"),
        pytest.param(["check", "--reference", "adam()"], "--reference is about a TARGET", id="reference-of-nothing"),
    ],
)
def test_bad_input_is_one_line_and_status_2(arguments, quoted, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("in the way")
    assert run(arguments) == 2
    out, said = capsys.readouterr()
    lines = [line for line in said.splitlines() if line.strip()]
    assert out == ""
    assert len(lines) == 1, said
    assert lines[0].startswith("lrtheory: ")
    assert quoted in lines[0]


def test_bad_input_ends_the_process_with_2(tmp_path):
    """And an unknown rule is told the known ones."""
    done = lrtheory("replay", "adamm", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "rmsprop" in done.stderr


@pytest.mark.parametrize(
    ("command", "package", "extra"),
    [
        *((("report", "--out", "out"), package, "report") for package in ("typer", "altair", "torch")),
        (("explain", "adam()"), "typer", "cli"),
        (("laws", "bounds"), "rich", "cli"),
        (("replay", "signum", "--quick"), "torch", "torch"),
    ],
)
def test_missing_package_names_the_extra(command, package, extra, tmp_path):
    """What the command at hand needs, and no more (C10): the report's extra brings everything."""
    # None in sys.modules makes an import fail as if the package were not installed.
    code = f"import sys; sys.modules[{package!r}] = None; from lrtheory.cli import main; main()"
    done = python(code, *command, cwd=tmp_path)
    assert done.returncode == 2
    assert f"pip install 'lrtheory[{extra}]'" in done.stderr
    assert package in done.stderr
    assert "Traceback" not in done.stderr


def test_version_needs_no_extra(tmp_path):
    code = "import sys; sys.modules['typer'] = sys.modules['rich'] = None; from lrtheory.cli import main; main()"
    done = python(code, "--version", cwd=tmp_path)
    assert (done.returncode, done.stdout.split()[0]) == (0, "lrtheory"), done.stderr


def test_package_is_a_command(tmp_path):
    """``python -m lrtheory`` (C11)."""
    done = subprocess.run([sys.executable, "-m", "lrtheory", "--version"], capture_output=True, text=True)
    assert (done.returncode, done.stdout.split()[0]) == (0, "lrtheory"), done.stderr


def test_shells_are_told_how_to_complete():
    code = "import os; os.environ['_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION'] = '1'"
    done = python(f"{code}; from lrtheory.cli import main; main()", "--show-completion", "bash")
    assert "_LRTHEORY_COMPLETE" in done.stdout, done.stderr


def test_missing_package_of_no_extra_is_not_hidden(tmp_path):
    code = "import sys; sys.modules['lrtheory.cli.app'] = None; from lrtheory.cli import main; main()"
    done = python(code, "--help", cwd=tmp_path)
    assert done.returncode == 1
    assert "Traceback" in done.stderr


@pytest.mark.parametrize("arguments", [["explain"], ["explain", "adam()", "--loss"], ["nothing"]])
def test_usage_errors_point_to_the_help_that_helps(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """C9."""
    assert run(arguments) == 2
    command = "explain " if arguments[0] == "explain" else ""
    assert capsys.readouterr().err.endswith(f"; try 'lrtheory {command}--help'\n")


def test_an_encoding_without_the_letters_and_a_full_disk_leave_no_traceback():
    """As of a pipe on Windows, or of ``PYTHONIOENCODING=ascii``; JSON is whole there too."""
    code = (
        "import json, os, sys; sys.stdout.reconfigure(encoding='ascii'); from lrtheory.cli import main\n"
        "from lrtheory.cli._terminal import print_json\n"
        "from lrtheory.cli.errors import written\n"
        "with written():\n"
        "    print('← √v'); print_json('laws/1', {'said': 'κ'})\n"
        "if os.path.exists('/dev/full'):\n"
        "    os.dup2(os.open('/dev/full', os.O_WRONLY), 1); main()"
    )
    done = python(code, "--help")
    first, _, rest = done.stdout.partition("\n")
    assert (first, json.loads(rest)["said"]) == ("? ?v", "κ")
    if os.path.exists("/dev/full"):
        assert done.returncode == 1
        assert done.stderr == "lrtheory: the output could not be written: No space left on device\n"
