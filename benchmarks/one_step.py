"""One update of float32 parameters, side by side: lrtheory, optax, torch fused, foreach and loop, and a copy.

All in one process with as many threads each as there are cores, interleaved; donated buffers in JAX. Every update is
one call with its gradients given. The copy moves as many bytes as one loop over parameters, gradients and state would.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import torch

from lrtheory import in_place, rules
from lrtheory.machine import cores
from lrtheory.rules import Rule

from .harness import Record, Table, interleaved, number, of_part, run, times

LARGE = 20_000_000
SIZES = (1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000)
OURS = "lrtheory"
THREADS = cores()


@dataclass(frozen=True)
class Contest:
    """One update rule by its three names; ``passes`` is what one loop reads and writes of arrays like the parameters."""

    ours: Rule
    optax: Callable[[], optax.GradientTransformation]
    torch: Callable[..., torch.optim.Optimizer] | None
    passes: int
    numbers: dict[str, float] = field(default_factory=dict)
    fused: bool = True

    @property
    def static(self) -> tuple[str, ...]:
        """All numbers but lr."""
        return tuple(name for name in self.ours.Hyper._fields if name != "lr")


CONTESTS = {
    "sgd, momentum 0.9": Contest(
        rules.sgd(), lambda: optax.sgd(1e-3, momentum=0.9), torch.optim.SGD, 5, {"lr": 1e-3, "momentum": 0.9}
    ),
    "adam": Contest(rules.adam(), lambda: optax.adam(1e-3), torch.optim.Adam, 7, {"lr": 1e-3}),
    "adamw": Contest(rules.adamw(), lambda: optax.adamw(1e-3, weight_decay=1e-2), torch.optim.AdamW, 7, {"lr": 1e-3}),
    "rmsprop": Contest(
        rules.rmsprop(momentum_buffer=False),
        lambda: optax.rmsprop(1e-3, decay=0.99),
        torch.optim.RMSprop,
        5,
        {"lr": 1e-3},
        fused=False,  # torch.optim.RMSprop has no fused implementation
    ),
}


def jax_update(step: Any, params: Any, state: Any, *rest: Any) -> Callable[[], Any]:
    """An update that carries its own parameters and state."""
    held = [params, state]

    def update() -> None:
        held[:] = step(*held, *rest)
        jax.block_until_ready(held)

    return update


def ours(contest: Contest, values: dict[str, np.ndarray], grads: Any, *, traced: bool) -> Callable[[], Any]:
    """The rule's step in place: with every number traced, or with all but lr in the program, as optax has them."""
    params = jax.tree.map(jnp.array, values)
    hyper, static = contest.ours.hyper(**contest.numbers), () if traced else contest.static
    hyper = hyper._replace(
        **{n: jnp.float32(v) for n, v in hyper._asdict().items() if n not in static and v is not None}
    )
    step = in_place.step(contest.ours, static=static)
    return jax_update(functools.partial(step, hyper), params, in_place.init(contest.ours, params), grads)


def optax_program(contest: Contest) -> Any:
    """Optax, compiled, with parameters and state donated in the order in which they come back."""
    transformation = contest.optax()

    def step(params: Any, state: Any, grads: Any) -> Any:
        updates, state = transformation.update(grads, state, params)
        return optax.apply_updates(params, updates), state

    return jax.jit(step, donate_argnums=(0, 1))


def optax_update(contest: Contest, values: dict[str, np.ndarray], grads: Any) -> Callable[[], Any]:
    """Its step."""
    params = jax.tree.map(jnp.array, values)
    return jax_update(optax_program(contest), params, jax.jit(contest.optax().init)(params), grads)


def torch_update(contest: Contest, values: dict[str, np.ndarray], **implementation: bool) -> Callable[[], Any]:
    """Torch's own step; numbers that are betas are its defaults."""
    parameters = [torch.nn.Parameter(torch.tensor(value)) for value in values.values()]
    for parameter, value in zip(parameters, values.values(), strict=True):
        parameter.grad = torch.tensor(value)
    assert contest.torch is not None
    return contest.torch(parameters, **contest.numbers, **implementation).step


def candidates(contest: Contest, tensors: int, size: int, *, all_torch: bool = True) -> dict[str, Callable[[], Any]]:
    """Everyone, for ``tensors`` tensors of ``size`` parameters."""
    rng = np.random.default_rng(0)
    values = {f"w{i:03d}": rng.standard_normal(size, dtype=np.float32) for i in range(tensors)}
    grads = jax.tree.map(jnp.array, values)
    found = {OURS: ours(contest, values, grads, traced=False), "optax": optax_update(contest, values, grads)}
    if all_torch:
        found[f"{OURS}, all traced"] = ours(contest, values, grads, traced=True)
    if contest.fused:
        found["torch fused"] = torch_update(contest, values, fused=True)
    if all_torch:
        found["torch foreach"] = torch_update(contest, values, foreach=True)
        found["torch loop"] = torch_update(contest, values, foreach=False)
        # A copy that reads and writes as many floats, and the same in place, without the read that a processor does before it
        # overwrites what it does not hold.
        source, target, array = (torch.ones(contest.passes * tensors * size // 2) for _ in range(3))
        found["copy"] = lambda: target.copy_(source)
        found["in place ×0.999"] = lambda: array.mul_(0.999)
    return found


def passes_of(contest: Contest) -> dict[str, tuple[int, int]]:
    """Loops over arrays like the parameters in each compiled step, and their reads and writes together."""
    size = 1 << 20
    params = {"w": jax.ShapeDtypeStruct((size,), jnp.float32)}
    hyper, state = contest.ours.hyper(**contest.numbers), jax.eval_shape(contest.ours.init, params)
    program = optax_program(contest)
    lowered = {
        OURS: in_place.step(contest.ours, static=contest.static).lower(hyper, params, state, params),
        f"{OURS}, all traced": in_place.step(contest.ours).lower(hyper, params, state, params),
        "optax": program.lower(params, jax.eval_shape(contest.optax().init, params), params),
    }
    found = {}
    for name, program in lowered.items():
        compiled = program.compile()
        loops = re.findall(rf"\(?f32\[{size}\][^=]*?\bfusion\(", compiled.as_text().split("ENTRY")[1])
        found[name] = len(loops), round(compiled.cost_analysis()["bytes accessed"] / (4 * size))
    return found


def measure() -> Iterator[Record]:
    """The four rules at 20 million parameters, 300 small tensors, and AdamW from 10³ to 10⁸ parameters."""
    torch.set_num_threads(THREADS)
    for name, contest in CONTESTS.items():
        for program, (loops, passes) in passes_of(contest).items():
            counts = {"loops": loops, "passes": passes, "least_passes": contest.passes}
            yield {"part": "passes", "rule": name, "program": program, **counts}
        for what, tensors, size in (("one", 1, LARGE), ("many", 300, LARGE // 300), ("small", 300, 1_000)):
            timings = interleaved(candidates(contest, tensors, size), rounds=15, seconds=6)
            base = "torch fused" if contest.fused else "torch foreach"
            for candidate in timings.seconds:
                yield {
                    "part": what,
                    "rule": name,
                    "tensors": tensors,
                    "size": size,
                    "candidate": candidate,
                    "base": base,
                    "seconds": timings.time(candidate).median,
                    "to_base": timings.ratio(candidate, base),
                    "to_copy": timings.ratio(candidate, "copy"),
                    "bytes": 4 * contest.passes * tensors * size,
                }
    for size in SIZES:
        timings = interleaved(candidates(CONTESTS["adamw"], 1, size, all_torch=False), rounds=15, seconds=6)
        for candidate in timings.seconds:
            yield {
                "part": "growth",
                "rule": "adamw",
                "size": size,
                "candidate": candidate,
                "seconds": timings.time(candidate).median,
                "to_base": timings.ratio(candidate, "torch fused"),
            }


TITLES = {
    "one": "One step of one tensor of 20 million float32 parameters",
    "many": "One step of 300 tensors of 66,666 parameters",
    "small": "One step of 300 tensors of 1,000 parameters",
}


def tables(records: list[Record]) -> dict[str, Table]:
    """A table of ratios for each division of the parameters into tensors, and the counted passes."""
    columns = {
        "rule": lambda r: r["rule"],
        "implementation": lambda r: r["candidate"],
        "time": lambda r: number(r["seconds"]),
        "÷ torch fused (rmsprop: foreach)": lambda r: times(r["to_base"]),
        "÷ copy of as many bytes": lambda r: times(r["to_copy"]),
    }
    found = {name: Table.of(title, of_part(records, name), columns) for name, title in TITLES.items()}
    kept = {(r["rule"], r["candidate"]): r for r in of_part(records, "one")}
    short = ("lrtheory", "optax", "torch fused", "torch foreach", "copy")
    found["summary"] = Table(
        "One step of 20 million float32 parameters",
        ["rule", *short],
        [[rule, *(number(kept[rule, c]["seconds"]) if (rule, c) in kept else "–" for c in short)] for rule in CONTESTS],
    )
    fields = {"rule": "rule", "program": "program", "loops": "loops", "reads and writes": "passes"}
    counts = {
        head: lambda r, field=field: str(r[field]) for head, field in {**fields, "of one loop": "least_passes"}.items()
    }
    title = "Loops of the compiled step on CPU, and arrays read and written in them"
    found["passes"] = Table.of(title, of_part(records, "passes"), counts)
    return found


def charts(records: list[Record]) -> dict[str, Any]:
    """Time of a step as the parameters grow."""
    from .charts import growth

    points = [(r["candidate"], r["size"], r["seconds"]) for r in of_part(records, "growth")]
    return {"one_step": growth(points, x="parameters", y="seconds", title="One AdamW step, float32")}


if __name__ == "__main__":
    run("one_step", measure, tables)
