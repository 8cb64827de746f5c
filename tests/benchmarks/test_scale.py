"""What docs/scale.md claims, of the programs of eight devices at small size."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import harness, scale

ROOT = Path(__file__).parents[2]
DEVICES = 8
FLOAT = 4

#: Arrays like the parameters that the state holds, and bytes of numbers for each parameter, on every device.
LIKE_PARAMETERS = {
    "sgd, momentum": (1, 8),
    "lion": (2, 4),
    "adamw": (2, 4),
    "lamb": (2, 8),
    "muon": (2, 8),
    "muon, stacked": (2, 8 * 4),  # for each of four layers
}
COLLECTIVES = {
    "sgd, momentum": set(),
    "lion": set(),
    "adamw": set(),
    "adafactor": {"all-reduce"},
    "lamb": {"all-reduce"},
    "muon": {"all-reduce", "all-gather", "collective-permute"},
    "muon, stacked": {"all-reduce", "all-gather"},
}
SAMPLE = 4096


@pytest.fixture(scope="module")
def found() -> dict:
    # What is read of the programs does not depend on how well LLVM optimises them, and they are not run.
    flags = "--xla_backend_optimization_level=0 --xla_cpu_parallel_codegen_split_count=1"
    env = os.environ | {"PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu", "XLA_FLAGS": flags}
    script = Path(__file__).with_name("scale_devices.py")
    done = subprocess.run(
        [sys.executable, str(script)], env=env, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def check_collectives(name: str, record: dict) -> None:
    kinds = {kind for kind, _, _ in record["collectives"]}
    assert kinds == COLLECTIVES[name], f"{name} communicates {record['collectives']}"


def check_bytes(name: str, record: dict, arrays: int) -> None:
    """Every device holds its share, the program takes nothing else, and overwrites all of parameters and state."""
    assert record["params_device"] * DEVICES == record["params_total"] == FLOAT * record["parameters"]
    if name in LIKE_PARAMETERS:
        copies, numbers = LIKE_PARAMETERS[name]
        wanted = copies * record["params_device"] + numbers * arrays
        assert record["state_device"] == wanted, f"state of {name}: {record['state_device']} and not {wanted} bytes"
    given = 2 * record["params_device"] + record["state_device"] + FLOAT * record["numbers"]
    assert record["arguments"] == given
    kept = record["params_device"] + record["state_device"] - record["aliased"]
    # XLA divides the counts of stacked layers by layers, where they were given whole.
    assert kept == (3 * 8 * 4 if name == "muon, stacked" else 0)


def check_sample(record: dict) -> None:
    """Whole arrays are gathered of no parameter but what is smaller than a sample; of the others, samples are summed."""
    small = sum(size for size in record["sizes"] if size <= SAMPLE)
    of_kind = dict.fromkeys(("all-gather", "all-reduce"), 0)
    for kind, _, size in record["collectives"]:
        of_kind[kind] += size
    assert of_kind["all-gather"] <= 8 * FLOAT * small, f"gathers {record['collectives']}"
    assert of_kind["all-reduce"] <= 8 * FLOAT * SAMPLE * len(record["sizes"])


@pytest.mark.parametrize("name", COLLECTIVES)
def test_a_step_communicates_what_its_rule_needs_and_holds_its_share(found: dict, name: str) -> None:
    record = found["steps"][name]
    check_collectives(name, record)
    check_bytes(name, record, {"muon": 3, "muon, stacked": 3}.get(name, found["arrays"]))


def test_whole_matrices_on_each_device_send_nothing(found: dict) -> None:
    assert found["whole matrices"]["collectives"] == []


def test_adafactor_keeps_a_row_and_a_column_of_each_matrix(found: dict) -> None:
    """By hand for 4 × 2 devices: rows of one kind of matrix are divided by 4 and columns by 2, of the other 2 and 4."""
    by_rows = {(128, 64): 1, (128, 16): 2, (128, 256): 2}  # query; key, value; gate, up
    by_columns = {(64, 128): 1, (256, 128): 2, (8, 8): 1, (2, 8): 1}  # out; down, embedding; the norms of heads
    factors = sum(n * (rows // 4 + columns // 2) for (rows, columns), n in by_rows.items())
    factors += sum(n * (rows // 2 + columns // 4) for (rows, columns), n in by_columns.items())
    vectors = 2 * 128 // 8
    assert sum([*by_rows.values(), *by_columns.values(), 2]) == found["arrays"]
    numbers = 12 * found["arrays"]  # t, gain and floor
    assert found["steps"]["adafactor"]["state_device"] == FLOAT * (factors + vectors) + numbers


def test_temporaries_of_a_step_by_coordinates_are_under_a_hundredth(found: dict) -> None:
    """Not of Lion, for which XLA on CPU keeps one array."""
    for name in ("sgd, momentum", "adamw"):
        record = found["steps"][name]
        assert record["temporaries"] < 0.01 * (record["params_device"] + record["state_device"])


def test_effective_lr_stays_where_the_parameters_are(found: dict) -> None:
    record = found["effective_lr"]
    assert record["collectives"] == []
    assert 0 <= record["outputs"] - record["params_device"] < 1000  # pointers to the results


def test_a_measurement_gathers_no_large_parameter(found: dict) -> None:
    for record in found["measured"]:
        check_sample(record)
        assert record["refused where layouts are types"] == ""


def test_a_state_on_every_device_is_caught(found: dict) -> None:
    with pytest.raises(AssertionError, match="state of adamw"):
        check_bytes("adamw", found["state everywhere"], found["arrays"])


def test_a_norm_over_all_parameters_is_caught(found: dict) -> None:
    with pytest.raises(AssertionError, match="adamw communicates"):
        check_collectives("adamw", found["global norm"])


def test_a_sample_of_the_flattened_array_is_caught(found: dict) -> None:
    with pytest.raises(AssertionError, match="gathers"):
        check_sample(found["flattened"])
    assert found["flattened"]["refused where layouts are types"] == "ShardingTypeError"


def few(*received: int) -> list[dict]:
    names = {"program": "step", "rule": "muon"}
    sizes = zip(scale.SIZES, received, strict=True)
    return [{**names, "layers": n, "collectives": [["all-reduce", 1, size]]} for n, size in sizes]


def test_what_is_received_at_all_layers_follows_from_a_few() -> None:
    assert scale.at(64, few(110, 120, 140)) == 100 + 10 * 64
    with pytest.raises(ValueError, match="step, muon: 110, 120 and 141 bytes do not rise evenly"):
        scale.at(64, few(110, 120, 141))


def test_the_law_of_growth_is_that_of_the_programs_of_all_layers() -> None:
    """Where both were compiled, a few layers foretell what all receive."""
    _, records = harness.load("scale")
    programs = [r for r in records if r["part"] == "program"]
    layers = max(r["layers"] for r in programs)
    for name in ("adafactor", "lamb"):
        steps = [r for r in programs if (r["program"], r["rule"]) == ("step", name)]
        assert scale.at(layers, steps) == scale.received(steps[-1])
