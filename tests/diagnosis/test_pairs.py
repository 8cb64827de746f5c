"""Every known difference is found without being told, and nothing is found where there is none."""

from __future__ import annotations

import functools
import re
from importlib.util import find_spec
from pathlib import Path

import pytest

from parity import diagnose
from parity.diagnosis import Diagnosis
from parity.diagnosis.narrow import ROUNDINGS
from parity.differences import PAIRS, Pair, found
from parity.differences.page import page
from parity.differences.precision import measured
from parity.dtypes import finfo

from .known_averaged import KNOWN_AVERAGED
from .known_narrow import KNOWN_NARROW
from .known_schedules import KNOWN_SCHEDULES

PAGE = Path(__file__).parents[2] / "docs" / "differences.md"

#: What each pair is known to differ in, from reading the sources: setting → (first, second). Independent of what was
#: written down by the generator.
KNOWN: dict[str, dict[str, tuple[float | str, float | str]]] = {
    **KNOWN_SCHEDULES,
    **KNOWN_NARROW,
    **KNOWN_AVERAGED,
    "optax-sgd": {},
    "optax-sgd-dampening": {"dampening": (0.0, 0.4)},
    "optax-adam": {},
    "optax-amsgrad": {"largest second moment": ("taken after the bias correction", "taken before the bias correction")},
    "optax-adamw": {"weight_decay": (1e-4, 1e-2)},
    "optax-nadam": {"look-ahead": ("Nesterov's, bias-corrected", "Dozat's, with his momentum schedule")},
    "optax-radam": {"eps": ("outside the root", "beside the uncorrected root")},
    "optax-adamax": {},
    "optax-adagrad": {"eps": ("inside the root", "outside the root"), "initial": (0.1, 0.0)},
    "optax-adagrad-lr-decay": {
        "eps": ("inside the root", "outside the root"),
        "initial": (0.1, 0.0),
        "lr_decay": (0.0, 0.1),
    },
    "optax-adadelta": {},
    "optax-rmsprop": {"alpha": (0.9, 0.99), "eps": ("inside the root", "outside the root")},
    "optax-rmsprop-momentum": {
        "alpha": (0.9, 0.99),
        "eps": ("inside the root", "outside the root"),
        "lr": ("inside the buffer", "outside the buffer"),
    },
    "optax-rprop": {"step": ("taken one call late", "taken at once")},
    "optax-adan": {"eps_root": (1e-8, 0.0), "weight of differences": ("1 − beta2", "beta2")},
    "optax-adafactor": {
        "eps1": ("added to the squared gradient", "bounds the estimate below"),
        "factored_from": (128.0, 2.0),
        "lr": ("as it is", "at most 1/√t"),
        "decay rate": ("formed in float32", "formed in double"),
    },
    "optax-muon": {
        "Newton-Schulz": ("in the input's dtype", "in bfloat16"),
        "look-ahead": ("Nesterov's, bias-corrected", "Nesterov's"),
        "scale of a matrix": ("√max(1, columns/rows)", "√max(1, rows/columns)"),
        "weight_decay": (0.0, 0.1),
    },
    "optax-lion": {"weight_decay": (1e-3, 0.0)},
    "optax-sign-sgd": {},
    "optax-lars": {},
    "optax-lamb": {},
    "keras-adafactor": {
        "eps1": ("added to the squared gradient", "bounds the estimate below"),
        "means": ("in float32", "in double"),
    },
    "keras-lion": {},
    "keras-lamb": {"weight decay": ("before the step, times lr", "inside the ratio")},
    "keras-adam": {"eps": ("beside the uncorrected root", "outside the root")},
    "keras-adamw": {"eps": ("beside the uncorrected root", "outside the root"), "weight_decay": (4e-3, 1e-2)},
    "keras-nadam": {"momentum_decay": (1.0, 4e-3)},
    "keras-adamax": {"eps": ("beside the maximum", "inside the maximum")},
    "keras-sgd-momentum": {"lr": ("inside the buffer", "outside the buffer")},
    "keras-rmsprop-momentum": {
        "alpha": (0.9, 0.99),
        "eps": ("inside the root", "outside the root"),
        "lr": ("inside the buffer", "outside the buffer"),
    },
    "keras-adagrad": {"eps": ("inside the root", "outside the root"), "initial": (0.1, 0.0)},
    "keras-adadelta": {"rho": (0.95, 0.9)},
}

#: What may be left of a difference where one side has the digits of a shorter dtype.
LEFT = {"optax-muon": 2e-2, "optax-warm-up-cosine": 4e-7} | {pair.id: 1e-6 for pair in PAIRS if pair.dtype == "float32"}

#: The value of eps differs beside its place, and is no news.
EPS_VALUE = (1e-7, 1e-8, 1e-10, 1e-30, 1e-6, 2.0**-52)


IN_ULP = re.compile(r" beyond \S+ ulp of \w+")


@functools.cache
def diagnosed(pair: Pair) -> Diagnosis:
    return diagnose(pair.a, pair.b, dtype=pair.dtype, missing=pair.missing)


@pytest.mark.parametrize("pair", PAIRS, ids=lambda p: p.id)
def test_a_known_difference_is_found_and_is_as_written_down(pair: Pair) -> None:
    """Fails when a new version removes the difference: then run ``python benchmarks/differences.py``."""
    for library in ("keras", "schedulefree"):
        if f"{library}." in pair.a + pair.b and find_spec(library) is None:
            pytest.skip(f"{library} is not installed")
    now, written = diagnosed(pair), found()[pair.id]
    differing = {c.setting: (c.a, c.b) for c in now.changes if not (c.a in EPS_VALUE and c.b in EPS_VALUE)}
    expected = KNOWN[pair.id]
    assert set(differing) == set(expected)
    for setting, values in expected.items():
        assert differing[setting] == (pytest.approx(values) if isinstance(values[0], float) else values)
    assert now.outcome == ("settings" if expected else "same")
    assert now.residual <= LEFT.get(pair.id, 1e-9)
    # How many ulp two orders of rounding make depends on the processor, which may contract a product and a sum.
    assert IN_ULP.sub("", now.sentence) == IN_ULP.sub("", written.sentence)
    assert (now.outcome, now.verified) == (written.outcome, written.verified)
    if pair.dtype == "float64":
        assert now.sentence == written.sentence
    if expected:
        assert now.first is not None
        assert now.first.step == written.first_step
        # Either run is within this of the model on any processor.
        rounding = 0.0 if pair.dtype == "float64" else 2 * ROUNDINGS * float(finfo(pair.dtype).eps) / 2
        assert now.size == pytest.approx(written.size, rel=1e-3, abs=rounding)


def test_the_sentence_of_the_readme() -> None:
    pair = next(p for p in PAIRS if p.id == "optax-rmsprop-momentum")
    assert diagnosed(pair).sentence == (
        "optax.rmsprop(0.01, momentum=0.9) equals torch.optim.RMSprop(lr=0.01, momentum=0.9) with decay=0.99, "
        "eps_in_sqrt=False and lr outside the buffer, which optax.rmsprop has no option for"
    )


def test_every_pair_is_written_down_and_on_the_page() -> None:
    written = found()
    assert list(written) == [pair.id for pair in PAIRS]
    assert set(written) == set(KNOWN)
    for pair in PAIRS:
        entry = written[pair.id]
        assert (entry.a, entry.b, entry.source, entry.dtype, entry.missing) == pair[1:]
        assert entry.outcome == "same" or entry.source, f"{pair.id} differs without a source"
    undated = re.compile(r"^CPU, .*$", re.MULTILINE)
    assert undated.sub("", page(list(written.values()), measured())) == undated.sub(
        "", PAGE.read_text(encoding="utf-8")
    )


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("optax.rmsprop(0.01, decay=0.99, eps_in_sqrt=False)", "torch.optim.RMSprop(lr=0.01)"),
        ("rmsprop(lr=0.01, centered=True)", "torch.optim.RMSprop(lr=0.01, centered=True)"),
        ("adam(lr=0.1, amsgrad=True)", "torch.optim.Adam(lr=0.1, amsgrad=True)"),
        ("torch.optim.AdamW(lr=0.1)", "torch.optim.Adam(lr=0.1, weight_decay=0.01, decoupled_weight_decay=True)"),
        ("nadam(lr=0.1)", "torch.optim.NAdam(lr=0.1)"),
        ("sgd(lr=0.1)", "optax.sgd(0.1)"),
    ],
)
def test_no_difference_where_there_is_none(a: str, b: str) -> None:
    now = diagnose(a, b)
    assert (now.outcome, now.changes, now.first) == ("same", (), None)
    assert now.sentence == f"no difference: {a} and {b} run alike"
