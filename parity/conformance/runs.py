"""The data of a run: first parameters, gradients that change sign and size over eight steps, and a moving lr."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

#: A matrix, a vector and a scalar: rules treat them differently.
SHAPES: Mapping[str, tuple[int, ...]] = {"matrix": (3, 2), "vector": (4,), "scalar": ()}

WITHOUT_SCALAR: Mapping[str, tuple[int, ...]] = {"matrix": (3, 2), "vector": (4,)}

#: For rules that take nothing but matrices.
MATRICES: Mapping[str, tuple[int, ...]] = {"matrix": (3, 2), "wide": (2, 4)}

#: For those that take nothing but vectors.
VECTORS: Mapping[str, tuple[int, ...]] = {"vector": (4,), "longer": (5,)}

#: Added to the seed of every run that is not drawn by Hypothesis.
SEED = 0

#: Fewer than seven cannot show a wrong bias correction, and five are not enough for RAdam's rectifier.
STEPS = 8


@dataclass(frozen=True, eq=False)
class Run:
    """One run, in float64."""

    params: Mapping[str, np.ndarray]  # by tensor name, before the first step
    grads: Mapping[str, np.ndarray]  # by tensor name, shape (steps, *shape)
    lrs: np.ndarray  # shape (steps,): what the target's own lr is multiplied by at each step, where a check moves it

    @property
    def steps(self) -> int:
        """Number of steps."""
        return len(self.lrs)

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shapes by tensor name."""
        return {name: np.shape(value) for name, value in self.params.items()}

    def at(self, step: int) -> dict[str, np.ndarray]:
        """The gradients of one step, counted from 0."""
        return {name: value[step] for name, value in self.grads.items()}

    def only(self, names: Iterable[str], steps: slice = slice(None)) -> Run:
        """Some of the tensors, over some of the steps."""
        names = list(names)
        return Run({n: self.params[n] for n in names}, {n: self.grads[n][steps] for n in names}, self.lrs[steps])

    def with_(self, **changes: Any) -> Run:
        """The same run with some fields changed."""
        return replace(self, **changes)

    def scaled(self, grads: float = 1.0, params: float = 1.0) -> Run:
        """The same run with all gradients and all parameters multiplied."""
        return self.with_(
            grads={name: grads * value for name, value in self.grads.items()},
            params={name: params * value for name, value in self.params.items()},
        )

    @classmethod
    def of(cls, shapes: Mapping[str, Any], params: Any, grads: Any, lrs: Any) -> Run:
        """A run from its entries that are not 0: by coordinate, and by (step, *coordinate) for gradients."""
        lrs = np.asarray(lrs, np.float64)
        filled_params = {name: np.zeros(shape) for name, shape in shapes.items()}
        filled_grads = {name: np.zeros((len(lrs), *shape)) for name, shape in shapes.items()}
        for given, filled in ((params, filled_params), (grads, filled_grads)):
            for name, entries in given.items():
                for index, value in entries.items():
                    filled[name][index] = value
        return cls(filled_params, filled_grads, lrs)

    def code(self) -> str:
        """A Python expression that makes this run."""

        def entries(values: Mapping[str, np.ndarray]) -> str:
            parts = []
            for name, value in values.items():
                found = {tuple(map(int, i)): float(np.asarray(value)[tuple(i)]) for i in np.argwhere(value)}
                if found:
                    parts.append(f"{name!r}: {_plain(found)}")
            return "{" + ", ".join(parts) + "}"

        return (
            "Run.of(\n"
            f"    shapes={self.shapes!r},\n"
            f"    params={entries(self.params)},\n"
            f"    grads={entries(self.grads)},\n"
            f"    lrs={[float(x) for x in self.lrs]!r},\n"
            ")"
        )


def _plain(entries: Mapping[tuple[int, ...], float]) -> str:
    def number(x: float) -> str:
        return repr(x) if np.isfinite(x) else f"float({str(x)!r})"

    return "{" + ", ".join(f"{index!r}: {number(x)}" for index, x in entries.items()) + "}"


def standard(shapes: Mapping[str, tuple[int, ...]], seed: int = 0) -> Run:
    """A rich run: every coordinate has its own size, over six decades, and every step another, over two."""
    rng = np.random.default_rng(seed + SEED)
    sizes = 10.0 ** rng.uniform(-1, 1, STEPS)
    grads = {}
    for name, shape in shapes.items():
        own = 10.0 ** rng.uniform(-3, 3, shape)
        grads[name] = own * rng.standard_normal((STEPS, *shape)) * sizes.reshape(-1, *[1] * len(shape))
    params = {name: rng.standard_normal(shape) for name, shape in shapes.items()}
    return Run(params, grads, 10.0 ** rng.uniform(-1, 1, STEPS))


def drawn(shapes: Mapping[str, tuple[int, ...]]) -> Any:
    """A Hypothesis strategy for runs: quarters times a power of ten for each step, which shrink to few entries.

    Every array is one draw of bytes, which takes a hundredth of the time of as many integers.
    """
    from hypothesis import strategies as st

    def quarters(shape: tuple[int, ...]) -> Any:
        size = int(np.prod(shape))
        return st.binary(min_size=size, max_size=size).map(lambda drawn: _quarters(drawn, shape))

    def exponents(largest: int) -> Any:
        return st.lists(st.integers(-largest, largest), min_size=STEPS, max_size=STEPS)

    return st.builds(
        _scaled,
        st.fixed_dictionaries({n: quarters(shape) for n, shape in shapes.items()}),
        st.fixed_dictionaries({n: quarters((STEPS, *shape)) for n, shape in shapes.items()}),
        exponents(3),
        exponents(4),
    )


def plainly_drawn(shapes: Mapping[str, tuple[int, ...]], seed: int) -> Run:
    """A run of the same kind without Hypothesis: half of its entries are 0."""
    rng = np.random.default_rng(seed)

    def quarters(shape: tuple[int, ...]) -> np.ndarray:
        return _quarters((rng.bytes(int(np.prod(shape)))), shape) * rng.integers(0, 2, shape)

    return _scaled(
        {n: quarters(shape) for n, shape in shapes.items()},
        {n: quarters((STEPS, *shape)) for n, shape in shapes.items()},
        rng.integers(-3, 4, STEPS),
        rng.integers(-4, 5, STEPS),
    )


def _scaled(params: Any, streams: Any, scales: Any, lrs: Any) -> Run:
    powers = 10.0 ** np.asarray(scales, np.float64)
    grads = {name: value * powers.reshape(-1, *[1] * (value.ndim - 1)) for name, value in streams.items()}
    return Run(params, grads, 10.0 ** (np.asarray(lrs, np.float64) / 4))


def _quarters(drawn: bytes, shape: tuple[int, ...]) -> np.ndarray:
    """Bytes 0, 1, 2, 3, 4 … as 0, 1, −1, 2, −2 … quarters: smaller bytes are smaller numbers, as shrinking needs."""
    values = np.frombuffer(drawn, np.uint8).astype(np.float64)
    return (np.where(values % 2 == 1, 1, -1) * np.ceil(values / 2)).reshape(shape) / 4
