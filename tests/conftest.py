"""One Hypothesis profile for every test, compiled programs kept from run to run, and torch kept to one thread."""

from __future__ import annotations

import gc
import importlib.util
import os
import zlib
from collections.abc import Generator
from pathlib import Path

import pytest
from _pytest.doctest import DoctestModule
from hypothesis import HealthCheck, settings

# Programs that JAX has compiled before, in the ignored folder .cache, also for the processes that tests start, and the
# small ones too: there are thousands. Set before JAX is imported; delete the folder for a cold run.
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(Path(__file__).parents[1] / ".cache" / "jax"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
# One thread for torch and for NumPy's BLAS: the arrays are small, and each core has its own worker.
os.environ.setdefault("OMP_NUM_THREADS", "1")

IN_CI = bool(os.environ.get("CI"))

settings.register_profile(
    "lrtheory",
    deadline=None,  # the first example compiles
    derandomize=IN_CI,  # the same examples every time where nobody is there to look
    print_blob=True,
    max_examples=40,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("deep", settings.get_profile("lrtheory"), max_examples=1000, derandomize=False)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "lrtheory"))


#: Libraries without which the core's tests run: what needs one of them is skipped where it is not installed.
OPTIONAL = (
    "torch", "keras", "optax", "sklearn", "typer", "mpmath", "schedulefree", "lion_pytorch", "expecttest", "jsonschema",
)  # fmt: skip
MISSING = [name for name in OPTIONAL if importlib.util.find_spec(name) is None]


#: The files that take longest, by the CPU time of a cold run: they are begun first, lest one is left for the end.
LONGEST = (
    "laws/test_catalogue", "parity/test_gate", "parity/conformance/test_controls", "experiments/test_report_data",
    "diagnosis/test_pairs", "laws/test_loss_scale", "parity/conformance/test_sound", "rules/test_contract",
    "oracle/test_bounds", "rules/test_torch_database", "dims/test_rules", "spec/test_commands", "cli/test_check",
    "diagnosis/test_acting", "schedules/test_transforms", "diagnosis/test_planted", "rules/test_half_precision",
    "experiments/test_closed_loop", "laws/test_facts", "schedules/test_accuracy",
)  # fmt: skip

#: About bits, rounding, memory or time: `make test` compiles their programs as people do, the others' without XLA's optimiser.
OPTIMISED = (
    "rules/test_accuracy", "rules/test_beside_torch", "rules/test_float32_steps", "rules/test_half_precision",
    "rules/test_in_place", "rules/test_lowering", "schedules/test_accuracy", "schedules/test_lowering",
    "effective/test_absorbed", "effective/test_cost", "effective/test_measure", "oracle/test_bounds", "parity/test_gate",
    "parity/test_half_precision", "parity/test_non_finite", "port/test_float32", "inside_optax/test_transformation", "watching/test_in_optax", "sweep/test_devices",
    "test_sharding", "test_compiling", "benchmarks/test_scale", "benchmarks/test_sweep",
)  # fmt: skip

#: Of these files, the dearest by the CPU time of a cold run, a run of whole folders takes one in so many cases of every test:
#: other ones in each file, so that none of the rules is left out of all. The rest is in `make deep`, and runs when the file is named.
SAMPLED = {
    "parity/test_gate": 4, "watching/test_in_optax": 4, "effective/test_measure": 4, "parity/test_non_finite": 4,
    "inside_optax/test_transformation": 4, "oracle/test_bounds": 4, "parity/test_half_precision": 3, "effective/test_cost": 4,
    "rules/test_float32_steps": 3, "rules/test_half_precision": 3, "rules/test_in_place": 3, "schedules/test_accuracy": 3,
    "laws/test_catalogue": 4, "rules/test_contract": 4, "effective/test_absent_parameters": 4, "rules/test_long_runs": 4,
    "test_translating": 4, "dims/test_torch": 3, "rules/test_torch_database": 3, "diagnosis/test_pairs": 4,
    "rescaling/test_batch": 3, "schedules/test_transforms": 3, "laws/test_loss_scale": 3, "parity/conformance/test_controls": 3,
    "parity/conformance/test_hostile": 2, "parity/conformance/test_report": 2, "cli/test_front": 2, "spec/test_commands": 2,
    "watching/test_equal": 3, "port/test_proof": 2, "laws/test_nan": 3, "adopting/test_torch": 2, "adopting/test_optax": 2,
    "explaining/test_wrapped": 2, "oracle/test_accuracy_page": 2, "groups/test_groups": 2, "port/test_config": 2,
    "watching/test_findings": 3, "wrappers/test_contract": 3, "diagnosis/test_planted": 2, "spec/test_curves": 2,
    "parity/conformance/test_false_alarms": 2, "experiments/test_closed_loop": 2, "checkpoints/test_planted": 2,
    "adopting/test_keras": 2, "dims/test_primitives": 3, "schedules/test_torch": 2, "effective/test_lost_and_clipped": 2,
}  # fmt: skip


@pytest.fixture
def checked_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """``check`` in this process: its own costs seconds of imports, where it is not what is tested."""
    from parity.conformance import checking

    monkeypatch.setattr(checking, "Elsewhere", checking.Here)


@pytest.fixture(scope="session", autouse=True)
def held_to_schemas() -> None:
    """What any test has a command print as JSON, the published schema of it allows."""
    if not {"typer", "jsonschema"} & set(MISSING):
        from schemas import held

        from lrtheory.cli import _terminal

        _terminal.as_printed = held(_terminal.as_printed)


@pytest.hookimpl(wrapper=True)
def pytest_collect_file() -> Generator[None, list[pytest.Collector], list[pytest.Collector]]:
    """Tests have no doctests, and scripts that they start cannot be imported to look for some."""
    found = yield
    return [collector for collector in found if not isinstance(collector, DoctestModule)]


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """A module that imports what is not installed is skipped, with the reason."""
    report = yield
    for name in MISSING:
        if report.failed and f"No module named '{name}" in str(report.longrepr):
            report.outcome = "skipped"
            report.longrepr = (str(collector.path), 1, f"Skipped: {name} is not installed")
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Generator[None]:
    """As for modules: a test that imports what is not installed is skipped."""
    try:
        return (yield)
    except AssertionError:
        raise
    except Exception as error:
        cause: BaseException | None = error
        while cause is not None:  # also where it was told in other words
            if isinstance(cause, ModuleNotFoundError) and (cause.name or "").split(".")[0] in MISSING:
                pytest.skip(f"{cause.name} is not installed")
            cause = cause.__cause__ or cause.__context__
        raise


def is_optimised(path: Path) -> bool:
    """Whether the tests of a file are in :data:`OPTIMISED`."""
    return any(path == Path(__file__).parent / f"{name}.py" for name in OPTIMISED)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Of the second half of ``make test`` other files are not even imported."""
    half = config.option.markexpr == "not deep and optimised"
    return True if half and collection_path.is_file() and not is_optimised(collection_path) else None


def leave_to_deep(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark what a run of whole folders leaves out of the files in :data:`SAMPLED`: of each test one case in so many stays."""
    named = {Path(argument.partition("::")[0]).resolve() for argument in config.args}
    for item in items:
        if item.path.suffix == ".ipynb" and item.path not in named and not item.path.name.startswith("02"):
            item.add_marker("deep")  # each starts a kernel of its own, which imports and compiles all anew
    cases: dict[tuple[Path, str], list[pytest.Item]] = {}
    for item in items:
        cases.setdefault((item.path, getattr(item, "originalname", item.name)), []).append(item)
    for name, one_in in SAMPLED.items():
        path = Path(__file__).parent / f"{name}.py"
        for (_, test), found in ((key, value) for key, value in cases.items() if key[0] == path and path not in named):
            first = zlib.crc32(f"{name}::{test}".encode()) % min(one_in, len(found))
            for place, item in enumerate(found):
                if place % one_in != first:
                    item.add_marker("deep")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deep runs only when they are asked for with ``-m deep``; the longest files first, lest one is begun at the end."""
    leave_to_deep(config, items)
    for item in items:
        if is_optimised(item.path):
            item.add_marker("optimised")
    if "deep" not in (config.option.markexpr or ""):
        deep = [item for item in items if item.get_closest_marker("deep")]
        config.hook.pytest_deselected(items=deep)
        items[:] = [item for item in items if not item.get_closest_marker("deep")]
    rank = {f"tests/{name}.py": place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: rank.get(item.nodeid.partition("::")[0], len(rank)))


def pytest_collection_finish() -> None:
    """What is imported stays: the garbage collector need not walk it again and again while programs are traced."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
