"""What it costs to measure the effective lr while training: at every step, on a sample, at the default interval.

Two models: the digits perceptron that the report trains, and one of ten million parameters. All variants are the same
compiled loop over batches; a training step is gradient and AdamW update.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from lrtheory import effective, rules

from .harness import Record, Spread, Table, aim, interleaved, number, run

RULE = rules.adamw()
MODELS = {  # widths, batch size, steps in one timed call
    "digits, 3,466 parameters, batch 64": ((64, 32, 32, 10), 64, effective.INTERVAL),
    "10 million parameters, batch 256": ((784, 2048, 2048, 2048, 10), 256, 1),
}


def loss(params: list[Any], x: Any, y: Any) -> Any:
    """Mean cross-entropy of a tanh perceptron."""
    for weight, bias in params[:-1]:
        x = jnp.tanh(x @ weight + bias)
    weight, bias = params[-1]
    return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(x @ weight + bias), y[:, None], axis=1))


#: At step ``t``, of what a step made; a scan measures in its own way.
VARIANTS: dict[str, Callable[..., Any]] = {
    "no measurement": lambda t, *made: None,
    "measure": lambda t, *made: effective.measure(*made),
    "measure, exact=False": lambda t, *made: effective.measure(*made, exact=False),
    "probe": lambda t, *made: effective.probe(*made),
    "measure_every": effective.measure_every,
    **dict.fromkeys(("scan", "scan, sample=64"), effective.measure),
}
SCANS = {"scan": 0, "scan, sample=64": effective.PROBE_SAMPLE}


@functools.partial(jax.jit, static_argnames=("variant", "steps"))
def train(params: Any, state: Any, x: Any, y: Any, start: Any, variant: str, steps: int) -> Any:
    """Some steps from step ``start`` on, measured in one of the ways."""
    hyper, observe = RULE.hyper(lr=1e-3), VARIANTS[variant]

    def step(carry: Any, t: Any) -> Any:
        before, state = carry
        grads = jax.grad(loss)(before, x, y)
        after, state = RULE.step(hyper, before, state, grads)
        made = RULE, hyper, state, grads, before, after
        return (after, state), None, effective.Step(*made) if variant in SCANS else lambda: observe(t, *made)

    def looking(carry: Any, t: Any) -> Any:
        carry, _, look = step(carry, t)
        return carry, look()

    if variant in SCANS:
        return effective.scan(step, (params, state), start + jnp.arange(steps), sample=SCANS[variant])
    if steps == 1:
        return looking((params, state), start)
    return jax.lax.scan(looking, (params, state), start + jnp.arange(steps))


def measure() -> Iterator[Record]:
    """Each variant beside training without measurement.

    One measurement in ``INTERVAL`` steps of the large model is worked out from what it is made of: steps that do not
    measure, and the share of one that does.
    """
    for model, (widths, batch, steps) in MODELS.items():
        rng = np.random.default_rng(0)
        shapes = list(itertools.pairwise(widths))
        params = [(jnp.asarray(rng.normal(0, a**-0.5, (a, b)), jnp.float32), jnp.zeros(b)) for a, b in shapes]
        x, y = jnp.asarray(rng.standard_normal((batch, widths[0])), jnp.float32), rng.integers(0, widths[-1], batch)
        state = jax.jit(RULE.init)(params)
        # A single step is timed as one of those between two measurements.
        start = 0 if steps > 1 else 1

        def timed(variant: str, *given: Any, steps: int = steps) -> Callable[[], Any]:
            return lambda: jax.block_until_ready(train(*given, variant, steps))

        # One large step says nothing of a scan over a thousand: its cost is the share of one measurement.
        names = [name for name in VARIANTS if steps > 1 or name not in SCANS]
        timings = interleaved({v: timed(v, params, state, x, y, start) for v in names}, rounds=25, seconds=25)
        extra = {name: timings.ratio(name, "no measurement") for name in names}
        extra = {name: Spread(*(ratio - 1 for ratio in spread)) for name, spread in extra.items()}
        if steps == 1:
            shared = Spread(*(value / effective.INTERVAL for value in extra["measure"]))
            extra["measure_every"] = Spread(*(a + b for a, b in zip(extra["measure_every"], shared, strict=True)))
            extra["scan"] = shared
            extra["scan, sample=64"] = Spread(*(a + b for a, b in zip(extra["probe"], shared, strict=True)))
        for name in VARIANTS:
            seconds = timings.time("no measurement").median / steps * (1 + extra[name].median)
            yield {"model": model, "variant": name, "seconds": seconds, "extra": extra[name]}


LIMITS = {"measure": 0.05, "measure_every": 0.01, "scan": 0.01}
SAMPLED = ("measure, exact=False", "probe", "scan, sample=64")


def limit(record: Record) -> float | None:
    """Of what is sampled at every step: 2 % of a large model, 5 % of a small one; what reads more has none."""
    if record["variant"] in SAMPLED:
        return 0.05 if record["model"].startswith("digits") else 0.02
    return LIMITS.get(record["variant"])


def tables(records: list[Record]) -> dict[str, Table]:
    """Extra time of a training step."""

    def extra(r: Record) -> str:
        low, median, high = r["extra"]
        return f"{median:+.1%} ({low:+.1%} to {high:+.1%})" if r["variant"] != "no measurement" else ""

    columns = {
        "model": lambda r: r["model"],
        "variant": lambda r: r["variant"],
        "time of a step": lambda r: number(r["seconds"]),
        "extra (quartiles)": extra,
        "aim": lambda r: aim(limit(r), r["extra"][1], "{:.0%}".format),
    }
    return {"measure_cost": Table.of("What measuring adds to a training step", records, columns)}


if __name__ == "__main__":
    run("measure_cost", measure, tables)
