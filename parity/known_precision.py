"""Where an implementation's arithmetic is at fault and its definition is not: seen in float32 and half precision alone.

Steps are beyond the bound derived for them (:mod:`parity.bounds`), or not finite where ours are. Each is measured and
written down (:mod:`parity.differences.precision`); a test measures again, and finds an entry that is stale as well as a
difference that has none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from .cases import Case
from .dtypes import HALF

Kind = Literal["beyond", "not finite"]


@dataclass(frozen=True)
class KnownPrecision:
    """One fault of one arithmetic."""

    id: str
    # steps beyond their bound, or parameters that end as nan or infinity where ours end finite
    kind: Kind
    dtypes: tuple[str, ...]
    runs: Mapping[str, tuple[str, ...]]  # backend → rules, in each of the dtypes
    reason: str
    source: str
    # of the sizes of gradients that show it, where it takes more than in parity.cases.STREAMS
    decades: float | None = None

    def applies(self, rule: str, dtype: str, backend: str) -> bool:
        """Whether it is about such runs."""
        return dtype in self.dtypes and rule in self.runs.get(backend, ())

    @property
    def least(self) -> float:
        """What is measured is more, or the entry is stale."""
        return 1.5 if self.kind == "beyond" else 0.0


_ADAMS = ("adagrad", "adam", "adamax", "nadam", "rmsprop")

KNOWN_PRECISION: tuple[KnownPrecision, ...] = (
    KnownPrecision(
        id="correction-in-float32",
        kind="beyond",
        dtypes=("float32",),
        runs={"optax": ("adam", "adabelief", "lamb", "schedule_free_adamw"), "keras": ("lamb",)},
        reason="1 − b2**t is formed in float32: in the first steps up to ten bits of it are lost",
        source="optax 0.2.8 optax/tree_utils/_tree_math.py tree_bias_correction; keras 3.15.1 src/optimizers/lamb.py",
    ),
    KnownPrecision(
        id="torch-fused-sgd-stands-still",
        kind="beyond",
        dtypes=HALF,
        runs={"torch-fused": ("sgd",)},
        reason="on a CPU the entries of whole vector blocks stay where they are, and only what is left over at the end of a "
        "tensor moves; the momentum buffer is right",
        source="torch 2.13 aten/src/ATen/native/cpu/FusedSGDKernel.cpp; pytorch/pytorch#191763",
    ),
    KnownPrecision(
        id="keras-rates-in-bfloat16",
        kind="beyond",
        dtypes=("bfloat16",),
        runs={"keras": ("adam", "nadam", "lamb", "schedule_free_adamw")},
        reason="the rate beta_2 is rounded to the dtype of the parameters before it is raised to a power: 0.999 is 1 in bfloat16, and "
        "1 − 1 is 0. Adam never moves; the others divide by it",
        source="keras 3.15.1 src/optimizers/adam.py, nadam.py, lamb.py, schedule_free_adamw.py update_step",
    ),
    KnownPrecision(
        id="keras-rates-in-float16",
        kind="beyond",
        dtypes=("float16",),
        runs={"keras": ("nadam", "schedule_free_adamw")},
        reason="the rate beta_2 is rounded to the dtype of the parameters, and 1 − beta_2**t is formed there: 2 % off at first",
        source="keras 3.15.1 src/optimizers/nadam.py, schedule_free_adamw.py update_step",
    ),
    KnownPrecision(
        id="eps-vanishes-in-float16",
        kind="not finite",
        dtypes=("float16",),
        runs={
            "torch": (*_ADAMS, "sparse_adam"),
            "torch-foreach": _ADAMS,
            "torch-fused": ("adagrad",),
            "optax": ("adabelief", "adam", "adamax", "adan", "rmsprop", "schedule_free_adamw"),
            "keras": _ADAMS,
        },
        reason="what eps is added to is in the dtype of the parameters, whose smallest number is 6e-8: 1e-8 is 0 there, and "
        "where the square has vanished too the step is 0/0. Ours adds it in float32",
        source="torch 2.13 torch/optim/adam.py _single_tensor_adam and its like; optax 0.2.8 optax/_src/transform.py; keras "
        "3.15.1 src/optimizers",
    ),
    KnownPrecision(
        id="torch-foreach-radam-unrectified",
        kind="not finite",
        dtypes=("float16",),
        runs={"torch-foreach": ("radam",)},
        reason="the first five steps, which have no root, still divide √v + eps by a factor of 0: 0/0 where both have vanished. "
        "The loop leaves the root out",
        source="torch 2.13 torch/optim/radam.py _multi_tensor_radam",
    ),
    KnownPrecision(
        id="squares-overflow-in-float16",
        kind="not finite",
        dtypes=("float16",),
        runs={"torch": ("adafactor",), "torch-foreach": ("adafactor",), "optax": ("lars",), "keras": ("lamb",)},
        reason="squares of gradients, and in LARS of parameters, are formed and added up in the dtype of the parameters, whose "
        "largest number is 65504: that of 256 is more. Keras's Adam and NAdam lose coordinates so too. Ours forms them in "
        "float32, and overflows when it stores one",
        source="torch 2.13 torch/optim/_adafactor.py _single_tensor_adafactor; optax 0.2.8 optax/_src/transform.py "
        "scale_by_trust_ratio; keras 3.15.1 src/optimizers/lamb.py update_step",
    ),
    KnownPrecision(
        id="torch-rprop-product-vanishes",
        kind="beyond",
        dtypes=("float16",),
        runs={"torch": ("rprop",), "torch-foreach": ("rprop",)},
        reason="whether a gradient turned is asked of its product with the last one, which vanishes below 6e-8: the step then "
        "keeps its size. Ours forms it in float32",
        source="torch 2.13 torch/optim/rprop.py _single_tensor_rprop",
        decades=7.0,
    ),
)


def known_precision(case: Case, backend: str, share: float | None, largest_error: float) -> KnownPrecision | None:
    """The entry that explains a run beyond its bound or one that is not finite, where it is and there is one."""
    seen = {"beyond": share is not None and share > 1, "not finite": largest_error == float("inf")}
    about = (entry for entry in KNOWN_PRECISION if entry.applies(case.rule, case.dtype, backend))
    return next((entry for entry in about if seen[entry.kind]), None)
