"""What it costs to watch a torch run: at the default interval, at every step, and beside wandb's watching of gradients.

Three models: the digits perceptron, a perceptron of ten million parameters, and a small transformer, with AdamW.
"""

from __future__ import annotations

import contextlib
import itertools
import multiprocessing
import os
import statistics
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import lrtheory
from lrtheory.watching.record import SAMPLES

from .harness import Record, Spread, Table, aim, interleaved, number, run

INTERVAL = 100
#: Model → steps in one timed call.
MODELS = {"digits, 3,466 parameters": INTERVAL, "10 million parameters": 1, "transformer, 1 million parameters": 1}
VARIANTS = ("no watching", "between measurements", "every step", "wandb.watch, every step")


def perceptron(*widths: int) -> Any:
    """Linear layers with tanh between them."""
    import torch

    layers = [(torch.nn.Linear(a, b), torch.nn.Tanh()) for a, b in itertools.pairwise(widths)]
    return torch.nn.Sequential(*itertools.chain(*layers))


def made(model: str) -> tuple[Any, Any]:
    """A model and a batch for it."""
    import torch

    torch.manual_seed(0)
    if model.startswith("digits"):
        return perceptron(64, 32, 32, 10), torch.randn(64, 64)
    if model.startswith("10 million"):
        return perceptron(784, 2048, 2048, 2048, 10), torch.randn(256, 784)
    layer = torch.nn.TransformerEncoderLayer(128, 4, 512, dropout=0.0, batch_first=True)
    layers = torch.nn.TransformerEncoder(layer, 4, enable_nested_tensor=False)
    net = torch.nn.Sequential(torch.nn.Embedding(1000, 128), layers, torch.nn.Linear(128, 1000))
    return net, torch.randint(1000, (32, 64))


def trained(model: str, steps: int, variant: str, out: Path, closing: contextlib.ExitStack) -> Callable[[], None]:
    """Some steps of a loop of its own, watched in one of the ways."""
    import torch

    net, x = made(model)
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-4)
    after: Callable[[], None] = lambda: None  # noqa: E731
    if variant in ("between measurements", "every step"):
        every = 1 if variant == "every step" else 10**9 if steps == 1 else INTERVAL
        closing.enter_context(lrtheory.watch(optimizer, model=net, every=every, out=out))
    if variant.startswith("wandb"):
        import wandb  # type: ignore[import-not-found]

        logged = closing.enter_context(wandb.init(mode="offline", dir=out.parent, settings={"silent": True}))
        logged.watch(net, log="gradients", log_freq=1)
        after = lambda: logged.log({})  # noqa: E731

    def step() -> None:
        for _ in range(steps):
            optimizer.zero_grad()
            net(x).square().mean().backward()
            optimizer.step()
            after()

    step()  # the first step is measured at every interval
    return step


def peak(model: str, variant: str) -> float:
    """MiB that a process which trains so needs at most."""
    with contextlib.ExitStack() as closing, tempfile.TemporaryDirectory() as folder:
        step = trained(model, 1, variant, Path(folder) / "run", closing)
        for _ in range(5):
            step()
        status = Path("/proc/self/status").read_text()  # getrusage would tell the parent's as well
        return int(status.split("VmHWM:")[1].split()[0]) / 1024


def peaks(model: str, names: list[str], times: int = 3) -> dict[str, float]:
    """MiB more than without watching, as medians over processes of their own."""
    found = {}
    for name in names:
        with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
            found[name] = statistics.median(pool.starmap(peak, [(model, name)] * times, chunksize=1))
    return {name: value - found["no watching"] for name, value in found.items()}


def measure() -> Iterator[Record]:
    """Each variant beside training without one. The default interval is a hundredth of what every step costs, and what a
    step between two measurements does; of the digits both are timed together.
    """
    names = [name for name in VARIANTS if not name.startswith("wandb") or _has_wandb()]
    for model, steps in MODELS.items():
        with contextlib.ExitStack() as closing, tempfile.TemporaryDirectory() as folder:
            runs = {v: trained(model, steps, v, Path(folder) / v, closing) for v in names}
            before = (Path(folder) / "every step" / SAMPLES).stat().st_size // steps
            timings = interleaved(runs, rounds=100, seconds=75)
        memory = peaks(model, [name for name in names if name != "between measurements"])
        memory["default interval"] = memory["every step"]  # what is kept between measured steps is the same
        extra = {name: Spread(*(r - 1 for r in timings.ratio(name, "no watching"))) for name in names}
        between = extra.pop("between measurements")
        share = 0.0 if steps > 1 else 1 / INTERVAL
        extra["default interval"] = Spread(*(a + share * b for a, b in zip(between, extra["every step"], strict=True)))
        for name, of in sorted(extra.items()):
            seconds = timings.time("no watching").median / steps * (1 + of.median)
            yield {"model": model, "variant": name, "seconds": seconds, "extra": of, "bytes": before,
                   "memory": memory.get(name)}  # fmt: skip


def _has_wandb() -> bool:
    with contextlib.suppress(ImportError):
        import wandb  # type: ignore[import-not-found]  # noqa: F401

        os.environ.setdefault("WANDB_SILENT", "true")
        return True
    return False


LIMITS = {"default interval": 0.01, "every step": 0.05}


def tables(records: list[Record]) -> dict[str, Table]:
    """Extra time of a training step, and how much is kept of a measured one."""

    def extra(r: Record) -> str:
        low, median, high = r["extra"]
        return f"{median:+.1%} ({low:+.1%} to {high:+.1%})" if r["variant"] != "no watching" else ""

    def limit(r: Record) -> float | None:
        return None if r["variant"] == "every step" and r["model"].startswith("digits") else LIMITS.get(r["variant"])

    columns: dict[str, Callable[[Record], str]] = {
        "model": lambda r: r["model"],
        "variant": lambda r: r["variant"],
        "time of a step": lambda r: number(r["seconds"]),
        "extra (quartiles)": extra,
        "aim": lambda r: aim(limit(r), r["extra"][1], "{:.0%}".format),
        "more memory": lambda r: f"{r['memory']:.0f} MiB" if r["variant"] != "no watching" else "",
        "kept of a measured step": lambda r: f"{r['bytes'] / 1024:.0f} KiB" if r["variant"] in LIMITS else "",
    }
    return {"watch": Table.of("What watching adds to a training step of torch", records, columns)}


if __name__ == "__main__":
    run("watch", measure, tables)
