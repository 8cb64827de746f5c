"""A verdict tried in numbers, by runs that share nothing with the walk of units but the program that is run.

A law must hold with the loss and the parameters times and over 256, over hundreds of steps in float64, and on tiny gradients. A
break must survive a search for any other law: powers of the factor by which each hyperparameter changes.
"""

from __future__ import annotations

import copy
import itertools
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from lrtheory.dims import PARAM, Dimensions, Units

BY = 256.0
STEPS, SHORT = 300, 20
SCALES = ((BY, 1.0), (1 / BY, 1.0), (1.0, BY), (1.0, 1 / BY), (BY, BY), (1 / BY, 1 / BY), (BY, 1 / BY))
#: Sizes of gradients where a law is to hold.
SIZES = (1.0, 1e-8)
#: Where some law might hold for a broken one: by this factor, at gradients of this size. A constant beside small parameters or
#: hyperparameters acts only when those are small indeed.
REACH = ((BY, 1.0), (BY, 1e-8), (BY, 1e8), (BY**-4, 1.0), (BY**4, 1.0), (BY**-4, 1e-8))
#: Of the distance travelled: above it a law fails, below the second one holds.
FAILS, HOLDS = 1e-5, 1e-9
#: A run with hyperparameters that it refuses, or that are too large for its arithmetic, ends with one of these.
REFUSALS = (ValueError, AssertionError, ArithmeticError, RuntimeError)
POWERS = (0.0, 1.0, -1.0, 2.0, -2.0, 0.5, -0.5)

#: A run: hyperparameters, loss, scale of the parameters, size of gradients, steps → a row of parameters over their scale each step.
Run = Callable[[Mapping[str, float], float, float, float, int], np.ndarray]


@dataclass(frozen=True)
class Judged:
    """What numbers say: ``agrees``, ``disagrees``, ``finds a law``, ``no law found in the time``, or why they say nothing."""

    says: str
    apart: float | None = None  # of the distance travelled, the worst
    where: str = ""
    steps: int = 0

    def as_json(self) -> dict[str, Any]:
        """In plain types."""
        apart = None if self.apart is None or not math.isfinite(self.apart) else float(f"{self.apart:.2g}")
        return {"says": self.says, "apart": apart, "where": self.where, "steps": self.steps}


def judge(found: Dimensions, seconds: float = 60.0) -> Judged:
    """Try a verdict; long runs are shortened to fit into the time, which is the processor's: others may be busy."""
    if found.program is None:
        return Judged("cannot run it")
    run, numbers, roundoff = _runner(found)
    ends = time.process_time() + seconds
    run(numbers, 1.0, 1.0, 1.0, SHORT)
    start = time.process_time()
    run(numbers, 1.0, 1.0, 0.5, SHORT)  # what was run already is kept
    each = max(time.process_time() - start, 1e-3) / SHORT  # some clocks tick seldom
    if found.status in ("proven", "guarded"):
        sizes = SIZES if found.status == "proven" else SIZES[:1]
        runs = (len(SCALES) + 1) * len(sizes)
        steps = int(min(STEPS, max(SHORT, seconds / (each * runs))))
        apart, where = _law(run, numbers, found, sizes, steps)
        return Judged("agrees" if apart <= max(FAILS, roundoff) else "disagrees", apart, where, steps)
    # what may be tried only where the hyperparameters are taken that were given, and within what its own dtype can hold
    reach = [(by, size) for by, size in REACH if not (found.status == "unknown" and roundoff and by * size < 1e-16)]
    reach = list(_runnable(run, numbers, reach))
    apart, where = _search(run, numbers, found, reach, max(HOLDS, roundoff / 100), ends)
    holds = apart <= max(HOLDS, roundoff / 100)
    says = "finds a law" if holds and found.status == "unknown" else "disagrees" if holds else "agrees"
    if found.status == "unknown" and not holds:
        says = "finds no law"
    if says == "agrees" and time.process_time() > ends:
        return Judged("no law found in the time", apart, where, SHORT)
    if says == "agrees" and (direction := found.surviving_direction) is not None:
        loss, params = (BY ** float(power) for power in direction)
        try:
            factors = {n: found.hyper[n].factor(loss, params) for n in found.hyper}
            kept = _apart(run, numbers, factors, loss, params, 1.0, SHORT)
        except REFUSALS:
            kept, where = 0.0, f"{where}; what survives cannot be run"
        if kept > max(FAILS, roundoff):
            return Judged("disagrees", kept, f"with {found.survives}, which is said to survive", SHORT)
    return Judged(says, apart, where, SHORT)


def _runnable(
    run: Run, numbers: Mapping[str, float], reach: Sequence[tuple[float, float]]
) -> Iterator[tuple[float, float]]:
    """Where the run as given succeeds; raises what goes wrong on gradients of plain size, or on both others."""
    failed: dict[float, Exception] = {}
    for size in sorted({size for _, size in reach}, key=lambda size: abs(math.log(size))):
        try:
            run(numbers, 1.0, 1.0, size, SHORT)
        except Exception as error:
            failed[size] = error
            if size == 1.0 or len(failed) > 1:
                raise
    yield from ((by, size) for by, size in reach if size not in failed)


def _law(
    run: Run, numbers: Mapping[str, float], found: Dimensions, sizes: Sequence[float], steps: int
) -> tuple[float, str]:
    """The worst of all scales whose hyperparameters it takes; those must say something of the loss and of the parameters."""
    worst, where = 0.0, ""
    refused: Exception | None = None
    tried = []
    for size, (loss, params) in itertools.product(sizes, SCALES):
        factors = {name: found.hyper[name].factor(loss, params) for name in numbers if name in found.hyper}
        try:
            apart = _apart(run, numbers, factors, loss, params, size, steps)
        except (ValueError, AssertionError) as error:
            refused = error
            continue
        tried.append((math.log(loss), math.log(params)))
        if not apart <= worst:
            worst, where = apart, f"loss ×{loss:g}, parameters ×{params:g}, gradients of {size:g}"
    if refused is not None and np.linalg.matrix_rank(np.array([(0.0, 0.0), *tried])) < 2:
        raise refused
    return worst, where


def _apart(
    run: Run,
    numbers: Mapping[str, float],
    factors: Mapping[str, float],
    loss: float,
    params: float,
    size: float,
    steps: int,
) -> float:
    """How far the rescaled run is from the run, over the distance travelled; 0 where neither is finite."""
    base = run(numbers, 1.0, 1.0, size, steps)
    other = run(
        {n: v * factors.get(n, 1.0) if factors.get(n, 1.0) != 1 else v for n, v in numbers.items()},
        loss, params, size, steps,
    )  # fmt: skip
    both = ~(np.isfinite(base) | np.isfinite(other))
    travel = np.max(np.abs(np.nan_to_num(base - base[0], nan=0.0, posinf=0.0, neginf=0.0))) or 1.0
    return float(np.max(np.nan_to_num(np.where(both, 0.0, np.abs(other - base)), nan=1e300, posinf=1e300)) / travel)


def _candidates(numbers: Sequence[str]) -> Iterator[dict[str, float]]:
    """Powers that laws often have: of rates, of eps, of decay."""
    rates = [n for n in numbers if "lr" in n or "learning_rate" in n]
    eps = [n for n in numbers if "eps" in n]
    decays = [n for n in numbers if "decay" in n or n == "wd"]
    for r, e, d in itertools.product(
        POWERS if rates else (0.0,),
        (0.0, 1.0, 2.0, -1.0, -2.0) if eps else (0.0,),
        (0.0, 1.0, -1.0, -2.0) if decays else (0.0,),
    ):
        yield {**dict.fromkeys(rates, r), **dict.fromkeys(eps, e), **dict.fromkeys(decays, d)}


def _search(
    run: Run,
    numbers: Mapping[str, float],
    found: Dimensions,
    reach: Sequence[tuple[float, float]],
    holds: float,
    ends: float,
) -> tuple[float, str]:
    """The worse of the best that can be had for another loss, and for other parameters: both must fail for no law to hold."""
    worst, where = 0.0, ""
    for name, of_loss, of_params in (("the loss", 1, 0), ("the parameters", 0, 1)):
        failed: list[Exception] = [ValueError("no hyperparameters are taken")]

        def gap(
            powers: Mapping[str, float],
            least: float,
            of_loss: int = of_loss,
            of_params: int = of_params,
            failed: list[Exception] = failed,
        ) -> float:
            largest, plainly = 0.0, False
            for by, size in reach:
                try:
                    factors = {n: by**p for n, p in powers.items()}
                    apart = _apart(run, numbers, factors, by**of_loss, by**of_params, size, SHORT)
                except REFUSALS as error:
                    failed[0] = error
                    return math.inf
                except Exception as error:  # a fault of its own at this scale says nothing of a law
                    failed[0] = error
                    continue
                largest, plainly = max(largest, apart), plainly or (by, size) == (BY, 1.0)
                if largest >= least:
                    break
            return largest if plainly else math.inf  # where it fails at plain sizes, the rest shows nothing

        units = [found.hyper.get(n) for n in numbers]
        first = {n: float(u.loss if of_loss else u.param) for n, u in zip(numbers, units, strict=True) if u is not None}
        best, least = first, gap(first, math.inf)
        if least == math.inf:  # the units that were found may be what is refused
            first = dict.fromkeys(numbers, 0.0)
            best, least = first, gap(first, math.inf)
        for powers in _candidates(list(numbers)):
            if least <= holds or time.process_time() > ends:
                break
            apart = gap({**first, **powers}, least)
            if apart < least:
                best, least = {**first, **powers}, apart
        for n, power in itertools.product(numbers, POWERS):
            if least <= holds or time.process_time() > ends:
                break
            apart = gap({**best, n: power}, least)
            if apart < least:
                best, least = {**best, n: power}, apart
        if least == math.inf:  # whatever is tried is refused: that shows nothing
            raise failed[0]
        if least > worst:
            worst, where = least, f"{name} ×{BY:g}"
    return worst, where


def _runner(found: Dimensions) -> tuple[Run, Mapping[str, float], float]:
    """How to run it, its hyperparameters, and the relative error that its own dtype brings."""
    if hasattr(found.program, "form"):
        import torch

        coarse = found.program.form.dtype is not torch.float64
        return _cached(_of_torch(found.program)), found.program.numbers, 1e-2 if coarse else 0.0
    program = found.program
    return _cached(_of_program(program, found.update)), {n: float(v) for n, v in program.hyper.items()}, 0.0


def _cached(run: Run) -> Run:
    """The run at plain scale is compared with many."""
    kept: dict[tuple[float, int], np.ndarray] = {}

    def cached(numbers: Mapping[str, float], loss: float, params: float, size: float, steps: int) -> np.ndarray:
        if (loss, params) != (1.0, 1.0):
            return run(numbers, loss, params, size, steps)
        if (size, steps) not in kept:
            kept[size, steps] = run(numbers, loss, params, size, steps)
        return kept[size, steps]

    return cached


def _of_torch(program: Any) -> Run:
    return lambda numbers, loss, params, size, steps: path(program, numbers, steps, loss, params, size)


def path(
    program: Any,
    numbers: Mapping[str, float],
    steps: int,
    loss: float = 1.0,
    scale: float = 1.0,
    size: float = 1.0,
    *,
    others: Mapping[str, Any] | None = None,
    resume: int | None = None,
) -> np.ndarray:
    """Parameters over their scale after every step of a torch optimizer, with other arguments, or saved and loaded midway."""
    import torch

    from lrtheory.dims.torch_reader.problem import steep_bowl
    from lrtheory.dims.torch_reader.running import as_written, seeded, train

    form = program.form
    program = replace(program, others={**program.others, **(others or {})})
    g = torch.Generator().manual_seed(3)

    def normal(shape: Sequence[int]) -> Any:
        return torch.randn(tuple(shape), generator=g, dtype=torch.float64)

    made = {n: torch.nn.Parameter((normal(s) * scale).to(form.dtype)) for n, s in form.shapes.items()}
    curvature = {n: (normal(s).abs() + 0.3).to(form.dtype) for n, s in form.shapes.items()}
    lowest: dict[str, Any] = dict.fromkeys(made, 0.0)
    rows = []

    def closure() -> Any:
        if form.graph:
            return steep_bowl({n: p - lowest[n] for n, p in made.items()}, curvature, loss * size, scale)
        height = torch.zeros((), dtype=form.dtype)
        for p, c in zip(made.values(), curvature.values(), strict=True):
            slope = c * p.detach() * (loss * size / scale**2)
            p.grad = slope
            height = height + 0.5 * (slope * p.detach()).sum()
        return height

    with seeded(), as_written(program.optimizer):
        instance = program.make(made, numbers)
        train(instance)
        closed = program.takes_closure(instance)
        for step in range(steps):
            if step == resume:
                saved = copy.deepcopy(instance.state_dict())
                made = {n: torch.nn.Parameter(p.detach().clone()) for n, p in made.items()}
                instance = program.make(made, numbers)
                instance.load_state_dict(saved)
                train(instance)
            for (n, p), c in zip(made.items(), curvature.values(), strict=True):
                if closed and form.graph:
                    p.grad, lowest[n] = None, (normal(p.shape) * scale).to(form.dtype)
                    continue
                grad = (normal(p.shape) * 10.0 ** (step % 4 - 2) * (size * loss / scale)).to(form.dtype)
                if form.graph:
                    grad = grad + c * (p - p.detach()) * (size * loss / scale**2)
                p.grad = grad.to_sparse(1) if "sparse" in form.shapes else grad
            instance.step(*([closure] if closed else []))
            rows.append(torch.cat([p.detach().double().flatten() / scale for p in made.values()]))
    return torch.stack(rows).numpy()


def _of_program(program: Any, output: Units) -> Run:
    """An update in JAX; its parameters move by what it returns, or if it is a part of a chain on a walk of their own."""
    import jax
    import jax.numpy as jnp

    from lrtheory.compiling import quickly_compiled

    moves = program.update == PARAM
    shapes = [x.shape for x in jax.tree.leaves(program.params)]
    structure = jax.tree.structure(program.params)

    def height(p: Any, scales: Any) -> Any:
        return scales[0] * sum(jnp.sum((x / scales[1]) ** 2 + (x / scales[1]) ** 4) for x in jax.tree.leaves(p))

    @quickly_compiled()
    def scanned(numbers: Any, params: Any, grads: Any, scales: Any) -> Any:
        def body(carry: Any, inputs: Any) -> Any:
            params, state = carry
            grads, t = inputs
            values = {"value": scales[0] * (5.0 + jnp.sin(t) ** 2), "grad": grads}
            more: dict[str, Any] = {name: values[name] for name in program.extra}
            if program.functions:
                value, slope = jax.value_and_grad(lambda p: height(p, scales))(params)
                functions = dict.fromkeys(program.functions, lambda p: height(p, scales))
                more = {"value": value, "grad": slope, **functions}
            update, state = program.step(numbers, state, grads, params, more)
            if not moves:
                walk = jax.tree.map(lambda p: p + scales[1] * jnp.sin(t), params)
                return (walk, state), update
            after = update if program.returns_params else jax.tree.map(jnp.add, params, update)
            return (after, state), after

        first = (params, program.init(numbers, params))
        return jax.lax.scan(body, first, (grads, jnp.arange(len(jax.tree.leaves(grads)[0]), dtype=jnp.float64)))[1]

    def run(numbers: Mapping[str, float], loss: float, params: float, size: float, steps: int) -> np.ndarray:
        with jax.enable_x64(True), np.errstate(all="ignore"):
            rng = np.random.default_rng(3)
            sizes = 10.0 ** (np.arange(steps) % 4 - 2)
            start = structure.unflatten([rng.normal(size=s) * params for s in shapes])
            into = program.gradient.factor(loss, params) * size
            grads = structure.unflatten(
                [rng.normal(size=(steps, *s)) * np.reshape(sizes, (-1, *[1] * len(s))) * into for s in shapes]
            )
            given = {n: np.float64(v) for n, v in numbers.items()}
            path = scanned(given, start, grads, np.array([loss * size, params]))
            rows = [np.asarray(x).reshape(steps, -1) for x in jax.tree.leaves(path)]
            return np.concatenate(rows, axis=1) / (params if moves else output.factor(loss, params))

    return run
