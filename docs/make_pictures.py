"""Draw the pictures of docs/questions with what the library computes: ``python docs/make_pictures.py [PAGE]...``.

Each function is a picture and has its page's name: its lines, each a function of x, or points. A test draws some of them anew.
"""

# ruff: noqa: D403 (docstrings are titles)

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.ticker import LogFormatter

from benchmarks.charts import growth, svg
from lrtheory import groups, rescale, rescale_schedule, rules, schedules, translate, wrappers
from lrtheory.rules import Rule
from lrtheory.theory.batch import mean_of_means
from lrtheory.theory.momentum import decay_time_scale, gain, steady_effective_lr
from lrtheory.theory.stability import threshold

FOLDER = Path(__file__).parent / "charts" / "questions"
#: Label → a function of x, or points.
Lines = Mapping[str, Callable[[Any], Any] | Mapping[Any, Any]]
PICTURES: dict[str, Callable[[], str]] = {}
MEAN: dict[str, Any] = {"reduction": "mean"}
ADAM, ADAMW, SGD = rules.adam(), rules.adamw(), rules.sgd()


def picture(
    x: str, y: str, values: Iterable[Any] = (), scales: str = "loglog"
) -> Callable[[Callable[[], Lines]], Callable[[], str]]:
    """Register a picture of lines over those values of x, whose title is the docstring.

    Four digits are drawn, so that every machine draws the same.
    """

    def register(lines: Callable[[], Lines]) -> Callable[[], str]:
        def drawn() -> str:
            points = [
                (label, float(f"{x:.4g}"), float(f"{y:.4g}"))
                for label, of in lines().items()
                for x, y in (of.items() if isinstance(of, Mapping) else ((x, of(x)) for x in values))
            ]
            title = (lines.__doc__ or "").removesuffix(".")
            figure = growth(points, x=x, y=y, title=title, scales=scales, size=(6.4, 3.0))
            plain(figure.axes[0], sorted({x for _, x, _ in points}))
            return compact(svg(figure))

        PICTURES[lines.__name__.replace("_", "-")] = drawn
        return drawn

    return register


def plain(axes: Any, values: list[float]) -> None:
    """Figures as people write them, and a tick at each of a few values of a logarithmic axis."""
    for axis in (axes.xaxis, axes.yaxis):
        if axis.get_scale() == "log":
            axis.set_major_formatter(LogFormatter())
            axis.set_minor_formatter(LogFormatter())
    if axes.get_xscale() == "log" and len(values) < 10:
        axes.set_xticks(values, labels=[f"{value:g}" for value in values])
        axes.set_xticks([], minor=True)


def compact(text: str) -> str:
    """On one line, without what says nothing to a browser."""
    text = re.sub(r"<metadata>.*?</metadata>|<\?xml.*?\?>|<!DOCTYPE.*?>|<!--.*?-->", "", text, flags=re.DOTALL)
    return re.sub(r"\s+", " ", text).replace("> <", "><").strip() + "\n"


def powers(low: int, high: int, base: float = 2.0) -> list[float]:
    """Powers of two, or of another base."""
    return [base**n for n in range(low, high + 1)]


def each(named: Mapping[str, Any], of: Callable[[Any, Any], Any]) -> Lines:
    """A line for each name: ``of(x, what is named)``."""
    return {label: lambda x, what=what: of(x, what) for label, what in named.items()}


def becomes(x: float, rule: Any, name: str, given: str, hyper: Mapping[str, float] = {}, **also: Any) -> float:
    """A hyperparameter over what it was, after a change of ``given``."""
    before = rule.hyper(**{"lr": 1e-3, "weight_decay": 0.1, **hyper})
    after = before if x == 1 else rescale(rule, before, **{given: x}, **also).hyper
    return float(getattr(after, name)) / getattr(before, name)


def path(rule: Any, hyper: Any, gradients: Iterable[float], start: float = 1.0, dtype: Any = float) -> list[float]:
    """A parameter of one entry before the first step and after each."""

    def step(carried: Any, g: Any) -> Any:
        params, state = carried
        params, state = rule.step(hyper, params, state, {"w": jnp.full((1,), g)})
        return (params, state), params["w"][0]

    with jax.enable_x64(dtype is float):
        params = {"w": jnp.full((1,), start, dtype)}
        walked = jax.lax.scan(step, (params, rule.init(params)), jnp.asarray(list(gradients), dtype))[1]
    return [start, *np.asarray(walked, float).tolist()]


def moved(walked: list[float]) -> list[float]:
    """Sizes of steps."""
    return np.abs(np.diff(walked)).tolist()


@picture("micro-batches, each as large as the batch was", "lr, times", powers(0, 3))
def accumulation() -> Lines:
    """lr for a batch of K micro-batches."""

    def of(x: float, line: tuple[Rule, str]) -> float:
        return becomes(x, line[0], "lr", "accumulation", accumulation_reduction=line[1])

    return each({"SGD": (SGD, "mean"), "AdamW": (ADAMW, "mean"), "SGD, losses added up": (SGD, "sum")}, of)


@picture("processes, each with the batch that it had", "lr, times", powers(0, 3))
def ddp() -> Lines:
    """lr for K processes."""

    def of(x: float, line: tuple[Rule, str]) -> float:
        return becomes(x, line[0], "lr", "world_size", world_reduction=line[1])

    lines = {"SGD, averaged": (SGD, "mean"), "SGD, added up": (SGD, "sum"), "AdamW, either way": (ADAMW, "mean")}
    return each(lines, of)


@picture("batch, times", "becomes, times", powers(-4, 3))
def batch_size_adam() -> Lines:
    """AdamW under another batch."""
    names = {"lr and weight_decay": "lr", "eps": "eps"}
    return each(names, lambda x, name: becomes(x, ADAMW, name, "batch", **MEAN))


@picture("batch, times", "memory of beta2, steps", powers(-4, 4))
def beta2() -> Lines:
    """beta2 = 0.95 under another batch."""
    hyper = ADAMW.hyper(lr=1e-3, beta1=0.0, beta2=0.95)

    def memory(x: float, method: str) -> float:
        new = hyper if x == 1 else rescale(ADAMW, hyper, batch=x, method=method, **MEAN).hyper
        return 1 / (1 - new.beta2)

    return each({"half-life: beta2^κ": "half-life", "sde: 1 − κ(1 − beta2)": "sde"}, memory)


@picture("batch, times", "memory of the average, steps", powers(-4, 6))
def ema() -> Lines:
    """EMA decay of 0.999 under another batch."""
    rule = wrappers.average_weights(rules.sgd())
    hyper = rule.hyper(lr=1e-3, ema_decay=0.999)
    return {"ρ^κ": lambda x: 1 / (1 - rescale(rule, hyper, batch=x, **MEAN).hyper.ema_decay)}


@picture("tokens of a micro-batch", "what a token counts, times")
def tokens() -> Lines:
    """A mean of means: five micro-batches of 256 to 4096 tokens."""
    counts = (256, 512, 1024, 2048, 4096)
    means = dict(zip(counts, mean_of_means(counts)[0], strict=True))
    return {"mean of means": means, "mean over all tokens": dict.fromkeys(counts, 1.0)}


@picture("largest over smallest micro-batch", "variance, times", powers(0, 6))
def packed_sequences() -> Lines:
    """Noise of a mean of means over that of the mean over all tokens."""

    def of(ratio: float, parts: int) -> float:
        return mean_of_means(np.geomspace(1000, 1000 * ratio, parts).round().astype(int).tolist())[1]

    return each({f"{parts} micro-batches": parts for parts in (2, 8)}, of)


@picture("examples that are added up", "becomes, times", powers(0, 8))
def loss_is_a_sum() -> Lines:
    """A sum of losses in place of their mean."""
    lines = {"lr of SGD": (SGD, "lr"), "lr of AdamW": (ADAMW, "lr"), "eps of AdamW": (ADAMW, "eps")}
    return each(lines, lambda x, line: becomes(x, line[0], line[1], "loss"))


@picture("loss, times", "becomes, times", powers(-4, 4))
def loss_normalised() -> Lines:
    """AdamW behind a clip by the norm, under another loss."""
    rule = wrappers.clip_by_global_norm(rules.adamw(), homogeneous=True)
    names = {"lr": "lr", "eps and max_norm": "eps"}
    return each(names, lambda x, name: becomes(x, rule, name, "loss", {"max_norm": 1.0}))


@picture("norm of the gradient", "size of the 20th step", powers(-2, 2, 10))
def clipping_and_lr() -> Lines:
    """Clipped at a norm of 1, lr = 0.1."""

    def of(g: float, line: tuple[Any, dict[str, float]]) -> float:
        rule, own = line
        return moved(path(rule, rule.hyper(lr=0.1, **own), [g] * 20, 0.0))[-1]

    lines = {}
    for name, rule in {"SGD": SGD, "Adam": ADAM}.items():
        lines |= {name: (rule, {}), f"{name}, clipped": (wrappers.clip_by_global_norm(rule), {"max_norm": 1.0})}
    return each(lines, of)


@picture("size of the gradient", "effective lr, settled", powers(-10, 1, 10))
def which_lr_adam() -> Lines:
    """What lr = 0.001 is."""
    return each({"Adam": ADAM, "SGD": SGD}, lambda g, rule: steady_effective_lr(rule, rule.hyper(lr=1e-3), g))


@picture("rms of the weights", "size of the first step", powers(-5, 2, 10))
def adafactor_lr() -> Lines:
    """Steps of Adafactor at lr = 0.01."""
    named = {"Adafactor": rules.adafactor(), "Adam": ADAM}
    return each(named, lambda w, rule: moved(path(rule, rule.hyper(lr=1e-2), [1.0], w))[0])


@picture("step", "d: the lr in force")
def prodigy_lr() -> Lines:
    """Prodigy on a quadratic, started at lr = 1."""
    import optax

    target = jnp.linspace(-1.0, 1.0, 16)
    tx = optax.contrib.prodigy(learning_rate=1.0)

    def step(carried: Any, _: Any) -> Any:
        w, state = carried
        state: Any
        updates, state = tx.update(2 * (w - target), state, w)
        return (optax.apply_updates(w, updates), state), state.estim_lr

    d = jax.lax.scan(step, (jnp.zeros(16), tx.init(jnp.zeros(16))), None, 60)[1]
    return {"d": {t: float(d[t - 1]) for t in (1, 2, 3, 4, 6, 8, 11, 16, 23, 32, 45, 60)}}


@picture("layer, from the first to the head", "lr, times", range(13), "linear log")
def layer_decay() -> Lines:
    """Layer-wise lr decay over 12 layers."""
    layers = [f"layer{i}" for i in range(12)] + ["head"]
    found = {f"factor {factor}": groups.layer_decay(layers, factor) for factor in (0.9, 0.8, 0.65)}
    return each(found, lambda i, of: of[layers[i]]["lr_scale"])


@picture("alpha, times", "B's becomes, times", powers(-3, 3))
def lora_alpha() -> Lines:
    """What undoes a change of LoRA's alpha."""

    def of(x: float, line: tuple[Rule, str]) -> float:
        rule, name = line
        hyper = rule.hyper(lr=1e-3, weight_decay=0.1)
        return float(getattr(rescale(rule, hyper, params={"B": 1 / x}).hyper["B"], name)) / getattr(hyper, name)

    adamw = {"lr of AdamW": (ADAMW, "lr"), "weight decay of AdamW": (ADAMW, "weight_decay")}
    return each({"lr of SGD": (SGD, "lr"), **adamw}, of)


@picture("lr", "steps to a factor of e", powers(-5, -2, 10))
def adamw_decay() -> Lines:
    """How fast AdamW forgets its weights."""

    def of(lr: float, decay: float) -> float:
        return decay_time_scale(ADAMW, ADAMW.hyper(lr=lr, weight_decay=decay))

    return each({f"weight_decay={decay:g}": decay for decay in (0.01, 0.1, 1.0)}, of)


@picture("width, times", "steps to a factor of e", powers(0, 6))
def mup() -> Lines:
    """How fast a hidden matrix is forgotten under muP, from lr = 0.001."""

    def of(n: float, share: int) -> float:
        return decay_time_scale(ADAMW, ADAMW.hyper(lr=1e-3 / n, weight_decay=0.1 * n**share))

    return each({"lr divided by the width": 0, "and weight decay multiplied by it": 1}, of)


@picture("rows and columns", "lr over AdamW's", (8, 16, 32, 64))
def muon_lr() -> Lines:
    """Muon's lr for updates as large as AdamW's."""
    named = {"original scaling": "muon()", "match_rms_adamw": "muon(adjust_lr_fn='match_rms_adamw')"}
    return each(named, lambda n, muon: translate("adamw(lr=1e-3)", to=muon, shape=(n, n)).ratio)


@picture("1 − beta1 of AdamW", "lr over AdamW's")
def lion_lr() -> Lines:
    """Lion's lr for updates as large as AdamW's."""
    values = (0.0, 0.5, 0.8, 0.9, 0.95, 0.98, 0.99)
    return {"Lion": {1 - b: translate(f"adamw(lr=1e-3, beta1={b:g})", to="lion").ratio for b in values}}


def decayed(decays: Mapping[str, float], last: int) -> Lines:
    """What decay alone leaves of a weight of 1 under AdamW."""
    left = {n: path(ADAMW, ADAMW.hyper(lr=1e-3, weight_decay=d), np.zeros(last)) for n, d in decays.items()}
    return each(left, lambda t, weights: weights[t])


@picture("step", "weight left by decay alone", range(0, 100_001, 10_000), "linear")
def port_differs() -> Lines:
    """One default: torch's AdamW decays by 0.01, optax's by 0.0001."""
    return decayed({"torch.optim.AdamW(lr=1e-3)": 1e-2, "optax.adamw(1e-3)": 1e-4}, 100_000)


@picture("step", "size of a step over lr", range(10, 4000, 190), "linear")
def warmup() -> Lines:
    """RAdam under a steady gradient, beside a linear warm-up."""
    radam = rules.radam()
    steps = moved(path(radam, radam.hyper(lr=1e-3), np.ones(4000), 0.0))
    ramp = schedules.constant_with_warmup(lr=1.0, warmup_steps=2000)
    return {"RAdam": lambda t: steps[t - 1] / 1e-3, "linear over 2/(1 − beta2) steps": ramp}


@picture("step", "lr", scales="linear")
def longer_run() -> Lines:
    """A cosine with warm-up, and the same for a run 4 times as long."""
    planned = schedules.cosine_with_warmup(lr=1e-3, warmup_steps=100, total_steps=1000)
    longer = rescale_schedule(planned, length=4)
    return {
        "1000 steps": {t: planned(t) for t in range(0, 1001, 50)},
        "4000 steps": {t: longer(t) for t in range(0, 4001, 200)},
    }


@picture("step of the optimizer", "lr", range(0, 161, 8), "linear")
def scheduler_too_fast() -> Lines:
    """A cosine over 160 steps."""
    cosine = schedules.cosine_annealing(lr=1e-3, T_max=160)
    return {"stepped once": cosine, "stepped 4 times": lambda t: cosine(4 * t)}


@picture("step", "weight", range(0, 2001, 200), "linear")
def bf16_weights() -> Lines:
    """AdamW at lr = 1e-5, a steady gradient."""
    hyper = ADAMW.hyper(lr=1e-5, weight_decay=0.0)
    walked = {str(dtype): path(ADAMW, hyper, np.ones(2000), 1.0, dtype) for dtype in ("bfloat16", "float32")}
    return each(walked, lambda t, weights: weights[t])


@picture("size of the gradient", "size of a step, settled", powers(-9, 0, 10))
def eps_half() -> Lines:
    """Adam at lr = 0.001."""

    def of(g: float, eps: float) -> float:
        return g * steady_effective_lr(ADAM, ADAM.hyper(lr=1e-3, eps=eps), g)

    return each({f"eps={eps:g}": eps for eps in (1e-8, 1e-6, 1e-4)}, of)


@picture("steps after the gradient became 0", "size of a step", range(0, 120, 8), "linear log")
def frozen_parameters() -> Lines:
    """What still moves: AdamW at lr = 0.01, weight_decay = 0.01."""
    before = {"trained before": [1.0] * 20, "never had a gradient": [0.0] * 20}
    steps = {n: moved(path(ADAMW, ADAMW.hyper(lr=1e-2), [*g, *np.zeros(120)]))[20:] for n, g in before.items()}
    return each(steps, lambda t, sizes: sizes[t])


@picture("momentum", "times lr", (0.0, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.99), "linear log")
def momentum() -> Lines:
    """SGD at the same lr."""
    return {
        "effective lr, settled": lambda m: gain(SGD, SGD.hyper(lr=1.0, momentum=m)),
        "largest stable curvature": lambda m: threshold(SGD, SGD.hyper(lr=1.0, momentum=m)).curvature,
    }


@picture("lr", "largest stable curvature", powers(-4, 0, 10))
def largest_lr() -> Lines:
    """Steeper directions of the loss diverge."""
    lines = {
        "SGD": (SGD, {}),
        "SGD with momentum 0.9": (SGD, {"momentum": 0.9}),
        "Adam, of the preconditioned loss": (ADAM, {}),
    }
    return each(lines, lambda lr, line: threshold(line[0], line[0].hyper(lr=lr, **line[1])).curvature)


@picture("size of the gradient", "what decay removes in 1000 steps", powers(-3, 2, 10))
def adam_l2() -> Lines:
    """Pure noise, lr = 0.001, weight_decay = 0.01, from a weight of 1."""
    noise = np.random.default_rng(0).standard_normal(1000)

    def of(size: float, rule: Rule) -> float:
        kept, left = (path(rule, rule.hyper(lr=1e-3, weight_decay=d), size * noise)[-1] for d in (0.0, 0.01))
        return kept - left

    return each({"AdamW": ADAMW, "Adam with weight_decay": ADAM}, of)


@picture("scale of the loss", "threshold, times", powers(0, 5, 10))
def clip_and_scaler() -> Lines:
    """The same clip on gradients that are still scaled."""
    rule = wrappers.clip_by_global_norm(rules.adamw(), homogeneous=True)
    return {
        "max_norm on scaled gradients": lambda x: becomes(x, rule, "max_norm", "loss", {"max_norm": 1.0}),
        "max_norm after unscale_": lambda x: 1.0,
    }


@picture("step", "what decay alone leaves", range(0, 50_001, 5000), "linear")
def no_decay() -> Lines:
    """The scale of a norm that starts at 1, AdamW at lr = 0.001."""
    return decayed({f"weight_decay={decay:g}": decay for decay in (0.0, 0.01, 0.1)}, 50_000)


if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in sys.argv[1:] or PICTURES:
        (FOLDER / f"{name}.svg").write_text(PICTURES[name](), encoding="utf-8")
