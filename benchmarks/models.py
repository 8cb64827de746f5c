"""One update of the parameters that real models have, in tensors of every size, and of one tensor from 10³ to 10⁸ parameters.

As in ``one_step``, with the step that most people write beside the one in place: ``jax.jit(rule.step)`` with parameters and
state donated and every number traced; and with small tensors joined (``wrappers.flatten``).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import torch

from lrtheory import in_place, rules, wrappers

from .harness import Record, Table, interleaved, number, of_part, run, times
from .one_step import CONTESTS, SIZES, THREADS, Contest, jax_update, optax_update, ours, torch_update

Shape = tuple[int, ...]
OURS, FLAT, PLAIN, OPTAX = "in_place.step", "in_place.step, flatten", "jit(rule.step)", "optax"


def resnet50() -> list[Shape]:
    """161 tensors, 25.6 million parameters: He et al. 2015 (1512.03385), table 1, as ``torchvision.models.resnet50`` has them."""
    shapes: list[Shape] = [(64, 3, 7, 7), (64,), (64,)]
    inputs = 64
    for width, blocks in ((64, 3), (128, 4), (256, 6), (512, 3)):
        for block in range(blocks):
            convolutions = [(width, inputs, 1, 1), (width, width, 3, 3), (4 * width, width, 1, 1)]
            convolutions += [(4 * width, inputs, 1, 1)] * (block == 0)  # the projection of the first shortcut
            shapes += [shape for c in convolutions for shape in (c, c[:1], c[:1])]  # each with its scale and shift
            inputs = 4 * width
    return [*shapes, (1000, inputs), (1000,)]


def gpt2_small(d: int = 768) -> list[Shape]:
    """148 tensors, 124.4 million parameters: Radford et al. 2019, table 2, as the published checkpoint has them."""
    attention: list[Shape] = [(d,), (d,), (d, 3 * d), (3 * d,), (d, d), (d,)]
    network: list[Shape] = [(d,), (d,), (d, 4 * d), (4 * d,), (4 * d, d), (d,)]
    return [(50257, d), (1024, d), *(attention + network) * 12, (d,), (d,)]


MODELS: dict[str, list[Shape]] = {
    "ResNet-50": resnet50(),
    "GPT-2 small": gpt2_small(),
    "300 × 1,000": [(1000,)] * 300,
}
RULES: dict[str, Contest] = {
    **CONTESTS,
    "lion": Contest(rules.lion(), lambda: optax.lion(1e-4), None, 5, {"lr": 1e-4}, fused=False),  # torch has none
}


def drawn(shapes: list[Shape]) -> dict[str, np.ndarray]:
    """Values for all tensors."""
    rng = np.random.default_rng(0)
    return {f"w{i:03d}": rng.standard_normal(shape, dtype=np.float32) for i, shape in enumerate(shapes)}


def plain(contest: Contest, values: dict[str, np.ndarray], grads: Any) -> Callable[[], Any]:
    """The rule's step under ``jax.jit``, every number traced."""
    rule, params = contest.ours, jax.tree.map(jnp.array, values)
    hyper = jax.tree.map(jnp.float32, rule.hyper(**contest.numbers))
    step = jax.jit(rule.step, donate_argnums=(1, 2))
    return jax_update(functools.partial(step, hyper), params, in_place.init(rule, params), grads)


def candidates(contest: Contest, shapes: list[Shape]) -> dict[str, Callable[[], Any]]:
    """Ours in both ways, optax, and torch's fastest where it has the rule."""
    values = drawn(shapes)
    grads = jax.tree.map(jnp.array, values)
    found = {
        OURS: ours(contest, values, grads, traced=False),
        PLAIN: plain(contest, values, grads),
        OPTAX: optax_update(contest, values, grads),
    }
    if len(shapes) > 1:
        found[FLAT] = ours(replace(contest, ours=wrappers.flatten(contest.ours)), values, grads, traced=False)
    if contest.torch is not None:
        implementation = {"fused": True} if contest.fused else {"foreach": True}
        found[f"torch {next(iter(implementation))}"] = torch_update(contest, values, **implementation)
    return found


def timed(part: str, rule: str, contest: Contest, what: Any, shapes: list[Shape], **until: Any) -> Iterator[Record]:
    """A record for each candidate."""
    timings = interleaved(candidates(contest, shapes), **until)
    torchs = next((name for name in timings.seconds if name.startswith("torch")), None)
    for candidate in timings.seconds:
        yield {
            "part": part,
            "rule": rule,
            "of": what,
            "candidate": candidate,
            "seconds": timings.time(candidate).median,
            "to_optax": timings.ratio(candidate, OPTAX),
            "to_torch": torchs and timings.ratio(candidate, torchs),
        }


def measure() -> Iterator[Record]:
    """The models first; then one tensor of every size."""
    torch.set_num_threads(THREADS)
    for rule in RULES:
        for name, shapes in MODELS.items():
            yield from timed("models", rule, RULES[rule], name, shapes, rounds=15, seconds=5)
    for rule, contest in RULES.items():
        for size in SIZES:
            yield from timed("sizes", rule, replace(contest, torch=None), size, [(size,)], rounds=9, seconds=2)


def tables(records: list[Record]) -> dict[str, Table]:
    """The models, and ours to optax as a tensor grows."""
    columns = {
        "parameters of": lambda r: r["of"],
        "rule": lambda r: r["rule"],
        "step": lambda r: r["candidate"],
        "time": lambda r: number(r["seconds"]),
        "÷ optax": lambda r: times(r["to_optax"]),
        "÷ torch": lambda r: times(r["to_torch"]) if r["to_torch"] else "–",
    }
    kept = {(r["rule"], r["candidate"], r["of"]): r["to_optax"] for r in of_part(records, "sizes")}
    rows = [
        [rule, step, *(times(kept[rule, step, size]) if (rule, step, size) in kept else "–" for size in SIZES)]
        for rule in RULES
        for step in (OURS, PLAIN)
    ]
    order = {name: i for i, name in enumerate(MODELS)}
    models = sorted(of_part(records, "models"), key=lambda r: order[r["of"]])
    seconds = {
        (r["of"], r["rule"], r["candidate"].split()[0] if "torch" in r["candidate"] else r["candidate"]): r
        for r in models
    }
    shown = (OURS, FLAT, PLAIN, OPTAX, "torch")
    summary = [
        [of, rule, *(number(seconds[of, rule, c]["seconds"]) if (of, rule, c) in seconds else "–" for c in shown)]
        for of in MODELS
        for rule in RULES
    ]
    return {
        "summary": Table(
            "One step of the parameters of a model, float32",
            ["parameters of", "rule", OURS, FLAT, PLAIN, OPTAX, "torch, fused or foreach"],
            summary,
        ),
        "models": Table.of("One step of the parameters of a model, float32", models, columns),
        "sizes": Table("One step of one tensor, ÷ optax", ["rule", "step", *(f"{size:,}" for size in SIZES)], rows),
    }


if __name__ == "__main__":
    run("models", measure, tables)
