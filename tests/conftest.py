"""One Hypothesis profile for every test, compiled programs kept from run to run, and torch kept to one thread."""

from __future__ import annotations

import gc
import importlib.util
import os
import zlib
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from _pytest.doctest import DoctestModule
from hypothesis import HealthCheck, settings

# Programs that JAX has compiled before, in the ignored folder .cache, also for the processes that tests start, and the
# small ones too: there are thousands. Set before JAX is imported; delete the folder for a cold run.
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(Path(__file__).parents[1] / ".cache" / "jax"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
# One thread for torch and for NumPy's BLAS: the arrays are small, and each core has its own worker.
os.environ.setdefault("OMP_NUM_THREADS", "1")

TESTS = Path(__file__).parent
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


#: The files that take longest on a cold run, the processes that they start included: they are begun first, lest one is left for
#: the end, when one worker has nothing left to do.
LONGEST = (
    "watching/test_distributed", "watching/test_script", "laws/test_catalogue", "watching/test_transformers",
    "test_translating", "watching/test_bad_input", "rules/test_contract", "parity/conformance/test_sound",
    "experiments/test_report_data", "parity/test_gate", "watching/test_in_optax", "sweep/test_devices", "effective/test_measure",
    "groups/test_groups", "test_docs", "watching/test_keras", "test_questions", "watching/test_recorder", "effective/test_cost",
    "parity/test_half_precision", "watching/test_equal", "watching/test_findings", "parity/conformance/test_controls",
)  # fmt: skip

#: Files of one worker: importing the trainers of transformers and lightning takes it some ten seconds, which all of them need.
ONE_WORKER = (
    "watching/test_transformers", "resume/test_transformers", "dims/test_symmetries_frameworks", "watching/test_lightning",
    "resume/test_lightning",
)  # fmt: skip

#: About bits, rounding, memory or time: `make test` compiles their programs as people do, the others' without XLA's optimiser.
OPTIMISED = (
    "rules/test_accuracy", "rules/test_beside_torch", "rules/test_float32_steps", "rules/test_half_precision",
    "rules/test_in_place", "rules/test_lowering", "schedules/test_accuracy", "schedules/test_lowering",
    "effective/test_absorbed", "effective/test_cost", "effective/test_measure", "oracle/test_bounds", "parity/test_gate",
    "parity/test_half_precision", "parity/test_non_finite", "port/test_float32", "inside_optax/test_transformation", "watching/test_in_optax", "sweep/test_devices",
    "test_sharding", "test_compiling", "benchmarks/test_scale", "benchmarks/test_sweep",
)  # fmt: skip

#: Of these tests, files or single ones, the dearest by the CPU time of a cold run, a run of whole folders takes one in so many cases:
#: other ones of each test, so that none of the rules is left out of all. The rest is in `make deep`, and runs when the file is named.
SAMPLED = {
    2: ("parity/conformance/test_report", "port/test_proof", "oracle/test_accuracy_page", "groups/test_groups",
        "port/test_config", "diagnosis/test_planted", "spec/test_curves", "parity/conformance/test_false_alarms",
        "experiments/test_closed_loop", "adopting/test_keras", "schedules/test_torch", "effective/test_lost_and_clipped",
        "checkpoints/test_sound", "dims/test_rules", "dims/test_target", "dims/test_optax", "dims/test_torch_forms",
        "diagnosis/test_acting", "spec/test_keras", "parity/conformance/test_silent_passes", "diagnosis/test_schedules",
        "quadratic/test_linear_step", "laws/test_facts", "rescaling/test_per_tensor", "rescaling/test_schedule",
        "wrappers/test_against_others", "parity/test_known_precision", "explaining/test_explanation",
        "inside_optax/test_adopted", "dims/test_soundness", "laws/test_numbers_of_rules", "rescaling/test_all_parts",
        "test_questions::test_page_shows_what_is_printed",
        "experiments/test_loss_scaling::test_threshold_lies_in_the_bracket_of_both_frameworks"),
    3: ("parity/test_half_precision", "rules/test_float32_steps", "rules/test_half_precision", "rules/test_in_place",
        "schedules/test_accuracy", "dims/test_torch", "rules/test_torch_database", "rescaling/test_batch",
        "schedules/test_transforms", "laws/test_loss_scale", "parity/conformance/test_controls",
        "parity/conformance/test_hostile", "spec/test_commands", "laws/test_nan", "adopting/test_torch", "adopting/test_optax",
        "explaining/test_wrapped", "watching/test_findings", "wrappers/test_contract", "checkpoints/test_planted",
        "dims/test_primitives", "parity/test_mutants", "oracle/test_planted", "parity/conformance/test_settings",
        "parity/test_keras", "parity/test_known", "rescaling/test_scales", "rescaling/test_groups", "oracle/test_truth",
        "effective/test_probe", "port/test_float32", "benchmarks/test_scale",
        "cli/test_front::test_missing_package_names_the_extra", "dims/test_symmetries_torch::test_torch_and_jax_agree",
        "watching/test_recorder::test_watching_changes_no_bit",
        "port/test_advice::test_what_a_run_or_a_reader_refuses_can_be_followed",
        "sweep/test_resume::test_a_changed_definition_is_refused_with_what_changed",
        "test_layers::test_plant_breaks_its_contract"),
    4: ("wrappers/test_flattening::test_steps_and_what_is_said_of_them_are_the_rules", "parity/test_gate", "watching/test_in_optax", "effective/test_measure",
        "inside_optax/test_transformation", "oracle/test_bounds", "effective/test_cost", "effective/test_absent_parameters", "test_translating"),
    5: ("rules/test_contract", "watching/test_equal",
        "rules/test_torch_database::test_configurations_replay_within_the_gate"),
    6: ("laws/test_catalogue", "rules/test_long_runs", "diagnosis/test_pairs",
        "rescaling/test_batch::test_sde_of_adaptive_rules_keeps_mean_and_spread_per_example"),
    8: ("watching/test_in_optax::test_watching_optax_leaves_the_trajectory_as_it_is",),
    10: ("effective/test_absent_parameters::test_rule_and_measure_leave_an_absent_parameter",
         "effective/test_measure::test_measuring_every_step_does_not_change_a_bit",),
    12: ("parity/test_non_finite", "parity/test_gate::test_every_option_is_within_the_gate",
        "watching/test_in_optax::test_what_is_watched_is_what_effective_measures"),
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
    return any(path == TESTS / f"{name}.py" for name in OPTIMISED)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Of each half of ``make test`` the files of the other one are not even imported."""
    halves = {"not deep and optimised": True, "not deep and not optimised": False}
    half = halves.get(config.option.markexpr)
    if half is None or collection_path.suffix != ".py" or collection_path.name == "__init__.py":
        return None
    return True if is_optimised(collection_path) != half else None


def one_in_of(test: str) -> int:
    """How many cases of a test a run of whole folders takes one of."""
    rates = {name: one_in for one_in, names in SAMPLED.items() for name in names}
    return rates.get(test) or rates.get(test.partition("::")[0], 1)


def leave_to_deep(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark what a run of whole folders leaves out of the files in :data:`SAMPLED`: of each test one case in so many stays."""
    named = {Path(argument.partition("::")[0]).resolve() for argument in config.args}
    for item in items:
        if item.path.suffix == ".ipynb" and item.path not in named and not item.path.name.startswith("02"):
            item.add_marker("deep")  # each starts a kernel of its own, which imports and compiles all anew
    cases: dict[str, list[pytest.Item]] = {}
    for item in items:
        if item.path not in named and item.path.is_relative_to(TESTS) and not item.get_closest_marker("deep"):
            file = item.path.relative_to(TESTS).with_suffix("").as_posix()
            cases.setdefault(f"{file}::{getattr(item, 'originalname', item.name)}", []).append(item)
    for test, found in cases.items():
        one_in = min(one_in_of(test), len(found))
        first = zlib.crc32(test.encode()) % one_in
        for place, item in enumerate(found):
            if place % one_in != first:
                item.add_marker("deep")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """A worker runs whole files, and those of :data:`ONE_WORKER` are one."""
    if config.getoption("dist") != "loadfile":
        return None
    from xdist.scheduler import LoadFileScheduling

    class ByFile(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            return "one worker" if file.removeprefix("tests/").removesuffix(".py") in ONE_WORKER else file

    return ByFile(config, log)


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
    items.sort(
        key=lambda item: -1 if item.path.suffix == ".ipynb" else rank.get(item.nodeid.partition("::")[0], len(rank))
    )


def pytest_collection_finish() -> None:
    """What is imported stays: the garbage collector need not walk it again and again while programs are traced."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
