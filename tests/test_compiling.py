"""Programs compiled without optimisation."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import jax.numpy as jnp
import pytest

from lrtheory import compiling
from lrtheory.compiling import known_options, quickly_compiled


def test_every_option_is_known_to_the_pinned_xla() -> None:
    """An option that has gone is left out silently, and compiling is slow again."""
    assert known_options() == compiling.OPTIONS


def test_an_option_that_xla_does_not_know_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiling, "OPTIONS", {"xla_no_such_option": True, "xla_backend_optimization_level": 0})
    known_options.cache_clear()
    try:
        assert known_options() == {"xla_backend_optimization_level": 0}
    finally:
        known_options.cache_clear()


def test_a_value_that_xla_refuses_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiling, "OPTIONS", {"xla_backend_optimization_level": "much"})
    known_options.cache_clear()
    try:
        with pytest.raises(Exception, match="xla_backend_optimization_level"):
            known_options()
    finally:
        known_options.cache_clear()


def test_files_that_conftest_names_are_there(request: pytest.FixtureRequest) -> None:
    """A renamed one would be compiled without optimisation, begun last, or run whole, in silence."""
    folder = Path(__file__).parent
    conftest = request.config.pluginmanager.get_plugin(str(folder / "conftest.py"))
    sampled = [name for names in conftest.SAMPLED.values() for name in names]
    assert len(sampled) == len(set(sampled))
    for name in {*conftest.OPTIMISED, *conftest.LONGEST, *conftest.ONE_WORKER, *sampled}:
        file, _, test = name.partition("::")
        assert f"def {test}" in (folder / f"{file}.py").read_text(), name


def test_a_run_of_folders_leaves_out_cases_and_no_test(request: pytest.FixtureRequest) -> None:
    """Of every sampled test one case at least stays, and a file that is named runs whole."""
    folder = Path(__file__).parent
    conftest = request.config.pluginmanager.get_plugin(str(folder / "conftest.py"))

    class Item:
        def __init__(self, path: Path, test: str, case: int) -> None:
            self.path, self.originalname, self.name, self.marks = path, test, f"{test}[{case}]", []
            self.add_marker, self.get_closest_marker = self.marks.append, self.marks.count

    def left(*arguments: Path) -> dict[tuple[Path, str], list[bool]]:
        tests = [name.partition("::") for names in conftest.SAMPLED.values() for name in names] + [
            ("elsewhere", "", "")
        ]
        items = [
            Item(folder / f"{file}.py", test or f"test_{n}", case)
            for file, _, test in tests for n in (1, 2, 3, 9) if n == 9 or not test for case in range(n)
        ]  # fmt: skip
        conftest.leave_to_deep(SimpleNamespace(args=[str(a) for a in arguments]), items)
        found: dict[tuple[Path, str], list[bool]] = {}
        for item in items:
            found.setdefault((item.path, item.originalname), []).append(not item.marks)
        return found

    of_folders = left(folder)
    for (path, test), kept in of_folders.items():
        one_in = min(conftest.one_in_of(f"{str(path.relative_to(folder))[:-3]}::{test}"), len(kept))
        assert len(kept) // one_in <= sum(kept) <= -(-len(kept) // one_in)
        assert any(kept)
    assert not all(all(kept) for kept in of_folders.values())
    firsts = {kept.index(True) for (_, test), kept in of_folders.items() if test == "test_9"}
    assert len(firsts) > 2, "the same cases everywhere"
    name = conftest.SAMPLED[2][0]
    assert all(all(kept) for (path, _), kept in left(folder / f"{name}.py").items() if path == folder / f"{name}.py")


def test_one_program_serves_every_value() -> None:
    traces = []

    @quickly_compiled(static_argnames="power")
    def raised(x, power):  # type: ignore[no-untyped-def]
        traces.append(power)
        return x**power

    assert [float(raised(jnp.float32(x), power=2)) for x in (1, 2, 3)] == [1, 4, 9]
    assert float(raised(jnp.float32(2), power=3)) == 8
    assert traces == [2, 3]
