"""Draw the pictures of docs/questions with what the library computes: ``python docs/make_pictures.py [PAGE]...``.

Each function is a picture and has its page's name. A test draws some of them anew.
"""

# ruff: noqa: D103 (the title says what a picture shows)

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Iterator
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
Points = Iterator[tuple[str, float, float]]
PICTURES: dict[str, Callable[[], str]] = {}
MEAN: dict[str, Any] = {"reduction": "mean"}
ADAMW, SGD = rules.adamw(), rules.sgd()


def picture(x: str, y: str, title: str, scales: str = "loglog") -> Callable[[Callable[[], Points]], Callable[[], str]]:
    """Register a picture of those points; four digits are drawn, so that every machine draws the same."""

    def register(points: Callable[[], Points]) -> Callable[[], str]:
        def drawn() -> str:
            rounded = [(label, float(f"{x:.4g}"), float(f"{y:.4g}")) for label, x, y in points()]
            figure = growth(rounded, x=x, y=y, title=title, scales=scales, size=(6.4, 3.0))
            plain(figure.axes[0], sorted({x for _, x, _ in rounded}))
            return compact(svg(figure))

        name = points.__name__.replace("_", "-")
        PICTURES[name] = drawn
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


def over(values: Iterable[float], **lines: Callable[[Any], Any]) -> Points:
    """A line for each function."""
    values = list(values)
    for label, of in lines.items():
        yield from ((label, x, of(x)) for x in values)


def powers(low: int, high: int) -> list[float]:
    """Powers of two."""
    return [2.0**n for n in range(low, high + 1)]


def becomes(rule: Any, name: str, given: str, **also: Any) -> Callable[[float], float]:
    """A hyperparameter over what it was, after a change of ``given``."""
    hyper = rule.hyper(**{"lr": 1e-3, "weight_decay": 0.1, **also.pop("hyper", {})})

    def of(x: float) -> float:
        new = hyper if x == 1 else rescale(rule, hyper, **{given: x}, **also).hyper
        return float(getattr(new, name)) / getattr(hyper, name)

    return of


def path(rule: Any, hyper: Any, gradients: Iterable[float], start: float = 1.0, dtype: Any = float) -> list[float]:
    """A parameter of one entry before the first step and after each."""
    gradients = jnp.asarray(list(gradients), dtype)
    params = {"w": jnp.full((1,), start, dtype)}

    def step(carried: Any, g: Any) -> Any:
        params, state = carried
        params, state = rule.step(hyper, params, state, {"w": jnp.full((1,), g)})
        return (params, state), params["w"][0]

    walked = jax.lax.scan(step, (params, rule.init(params)), gradients)[1]
    return [start, *np.asarray(walked, float).tolist()]


def moved(walked: list[float]) -> list[float]:
    """Sizes of steps."""
    return np.abs(np.diff(walked)).tolist()


@picture("micro-batches, each as large as the batch was", "lr, times", "lr for a batch of K micro-batches")
def accumulation() -> Points:
    mean = {"accumulation_reduction": "mean"}
    yield from over(powers(0, 3), SGD=becomes(SGD, "lr", "accumulation", **mean))
    yield from over(powers(0, 3), AdamW=becomes(ADAMW, "lr", "accumulation", **mean))
    yield from over(
        powers(0, 3), **{"SGD, losses added up": becomes(SGD, "lr", "accumulation", accumulation_reduction="sum")}
    )


@picture("processes, each with the batch that it had", "lr, times", "lr for K processes")
def ddp() -> Points:
    lines = {"SGD, averaged": (SGD, "mean"), "SGD, added up": (SGD, "sum"), "AdamW, either way": (ADAMW, "mean")}
    for label, (rule, reduction) in lines.items():
        yield from over(powers(0, 3), **{label: becomes(rule, "lr", "world_size", world_reduction=reduction)})


@picture("batch, times", "becomes, times", "AdamW under another batch")
def batch_size_adam() -> Points:
    names = {"lr": "lr and weight_decay", "eps": "eps"}
    yield from over(powers(-4, 3), **{label: becomes(ADAMW, name, "batch", **MEAN) for name, label in names.items()})


@picture("batch, times", "memory of beta2, steps", "beta2 = 0.95 under another batch")
def beta2() -> Points:
    def memory(method: str) -> Callable[[float], float]:
        hyper = ADAMW.hyper(lr=1e-3, beta1=0.0, beta2=0.95)

        def new(x):
            return hyper if x == 1 else rescale(ADAMW, hyper, batch=x, method=method, **MEAN).hyper

        return lambda x: 1 / (1 - new(x).beta2)

    yield from over(
        powers(-4, 4), **{"half-life: beta2^κ": memory("half-life"), "sde: 1 − κ(1 − beta2)": memory("sde")}
    )


@picture("batch, times", "memory of the average, steps", "EMA decay of 0.999 under another batch")
def ema() -> Points:
    rule = wrappers.average_weights(rules.sgd())
    hyper = rule.hyper(lr=1e-3, ema_decay=0.999)
    yield from over(powers(-4, 6), **{"ρ^κ": lambda x: 1 / (1 - rescale(rule, hyper, batch=x, **MEAN).hyper.ema_decay)})


@picture(
    "tokens of a micro-batch", "what a token counts, times", "A mean of means: five micro-batches of 256 to 4096 tokens"
)
def tokens() -> Points:
    counts = (256, 512, 1024, 2048, 4096)
    for count, factor in zip(counts, mean_of_means(counts)[0], strict=True):
        yield "mean of means", count, factor
        yield "mean over all tokens", count, 1.0


@picture(
    "largest over smallest micro-batch",
    "variance, times",
    "Noise of a mean of means over that of the mean over all tokens",
)
def packed_sequences() -> Points:
    for parts in (2, 8):

        def of(ratio, parts=parts):
            return mean_of_means(np.geomspace(1000, 1000 * ratio, parts).round().astype(int).tolist())[1]  # fmt: skip

        yield from over(powers(0, 6), **{f"{parts} micro-batches": of})


@picture("examples that are added up", "becomes, times", "A sum of losses in place of their mean")
def loss_is_a_sum() -> Points:
    lines = {
        "lr of SGD": becomes(SGD, "lr", "loss"),
        "lr of AdamW": becomes(ADAMW, "lr", "loss"),
        "eps of AdamW": becomes(ADAMW, "eps", "loss"),
    }
    yield from over(powers(0, 8), **lines)


@picture("loss, times", "becomes, times", "AdamW behind a clip by the norm, under another loss")
def loss_normalised() -> Points:
    rule = wrappers.clip_by_global_norm(rules.adamw(), homogeneous=True)
    names = {"lr": "lr", "eps": "eps and max_norm"}
    own = {"max_norm": 1.0}
    yield from over(powers(-4, 4), **{label: becomes(rule, name, "loss", hyper=own) for name, label in names.items()})


@picture("norm of the gradient", "size of the 20th step", "Clipped at a norm of 1, lr = 0.1")
def clipping_and_lr() -> Points:
    for name, rule in {"SGD": SGD, "Adam": rules.adam()}.items():
        clipped = wrappers.clip_by_global_norm(rule)
        for label, one, hyper in (
            ("", rule, rule.hyper(lr=0.1)),
            (", clipped", clipped, clipped.hyper(lr=0.1, max_norm=1.0)),
        ):

            def of(g, one=one, hyper=hyper):
                return moved(path(one, hyper, [g] * 20, 0.0))[-1]

            yield from over(10.0 ** np.arange(-2, 3), **{f"{name}{label}": of})


@picture("size of the gradient", "effective lr, settled", "What lr = 0.001 is")
def which_lr_adam() -> Points:
    adam = rules.adam()
    sizes = 10.0 ** np.arange(-10, 2)
    yield from over(sizes, Adam=lambda g: steady_effective_lr(adam, adam.hyper(lr=1e-3), g))
    yield from over(sizes, SGD=lambda g: steady_effective_lr(SGD, SGD.hyper(lr=1e-3), g))


@picture("rms of the weights", "size of the first step", "Steps of Adafactor at lr = 0.01")
def adafactor_lr() -> Points:
    for label, rule in {"Adafactor": rules.adafactor(), "Adam": rules.adam()}.items():
        hyper = rule.hyper(lr=1e-2)
        yield from over(10.0 ** np.arange(-5, 3), **{label: lambda w, r=rule, h=hyper: moved(path(r, h, [1.0], w))[0]})


@picture("step", "d: the lr in force", "Prodigy on a quadratic, started at lr = 1")
def prodigy_lr() -> Points:
    import optax

    target = jnp.linspace(-1.0, 1.0, 16)
    tx = optax.contrib.prodigy(learning_rate=1.0)

    def step(carried: Any, _: Any) -> Any:
        w, state = carried
        state: Any
        updates, state = tx.update(2 * (w - target), state, w)
        return (optax.apply_updates(w, updates), state), state.estim_lr

    d = jax.lax.scan(step, (jnp.zeros(16), tx.init(jnp.zeros(16))), None, 60)[1]
    yield from (
        ("d", t, float(value)) for t, value in enumerate(d, 1) if t in (1, 2, 3, 4, 6, 8, 11, 16, 23, 32, 45, 60)
    )


@picture("layer, from the first to the head", "lr, times", "Layer-wise lr decay over 12 layers", "linear log")
def layer_decay() -> Points:
    layers = [f"layer{i}" for i in range(12)] + ["head"]
    for factor in (0.9, 0.8, 0.65):
        found = groups.layer_decay(layers, factor)
        yield from over(range(13), **{f"factor {factor}": lambda i, found=found: found[layers[i]]["lr_scale"]})


@picture("alpha, times", "B's becomes, times", "What undoes a change of LoRA's alpha")
def lora_alpha() -> Points:
    def of(rule: Rule, name: str) -> Callable[[float], float]:
        hyper = rule.hyper(lr=1e-3, weight_decay=0.1)

        def new(x):
            return rescale(rule, hyper, params={"B": 1 / x}).hyper["B"]

        return lambda x: float(getattr(new(x), name)) / getattr(hyper, name)

    lines = {
        "lr of SGD": of(SGD, "lr"),
        "lr of AdamW": of(ADAMW, "lr"),
        "weight decay of AdamW": of(ADAMW, "weight_decay"),
    }
    yield from over(powers(-3, 3), **lines)


@picture("lr", "steps to a factor of e", "How fast AdamW forgets its weights")
def adamw_decay() -> Points:
    for decay in (0.01, 0.1, 1.0):

        def of(lr, decay=decay):
            return decay_time_scale(ADAMW, ADAMW.hyper(lr=lr, weight_decay=decay))

        yield from over(10.0 ** np.arange(-5, -1), **{f"weight_decay={decay:g}": of})


@picture("width, times", "steps to a factor of e", "How fast a hidden matrix is forgotten under muP, from lr = 0.001")
def mup() -> Points:
    def of(share: int) -> Callable[[float], float]:
        return lambda n: decay_time_scale(ADAMW, ADAMW.hyper(lr=1e-3 / n, weight_decay=0.1 * n**share))

    yield from over(powers(0, 6), **{"lr divided by the width": of(0), "and weight decay multiplied by it": of(1)})


@picture("rows and columns", "lr over AdamW's", "Muon's lr for updates as large as AdamW's")
def muon_lr() -> Points:
    for label, muon in {
        "original scaling": "muon()",
        "match_rms_adamw": "muon(adjust_lr_fn='match_rms_adamw')",
    }.items():

        def of(n, muon=muon):
            return translate("adamw(lr=1e-3)", to=muon, shape=(n, n)).ratio

        yield from over((8, 16, 32, 64), **{label: of})


@picture("1 − beta1 of AdamW", "lr over AdamW's", "Lion's lr for updates as large as AdamW's")
def lion_lr() -> Points:
    values = (0.0, 0.5, 0.8, 0.9, 0.95, 0.98, 0.99)
    yield from (("Lion", 1 - b, translate(f"adamw(lr=1e-3, beta1={b:g})", to="lion").ratio) for b in values)


@picture("step", "weight left by decay alone", "One default: torch's AdamW decays by 0.01, optax's by 0.0001", "linear")
def port_differs() -> Points:
    for label, decay in {"torch.optim.AdamW(lr=1e-3)": 1e-2, "optax.adamw(1e-3)": 1e-4}.items():
        with jax.enable_x64(True):
            left = path(ADAMW, ADAMW.hyper(lr=1e-3, weight_decay=decay), np.zeros(100_000))
        yield from over(range(0, 100_001, 10_000), **{label: lambda t, left=left: left[t]})


@picture("step", "size of a step over lr", "RAdam under a steady gradient, beside a linear warm-up", "linear")
def warmup() -> Points:
    radam = rules.radam()
    with jax.enable_x64(True):
        steps = moved(path(radam, radam.hyper(lr=1e-3), np.ones(4000), 0.0))
    ramp = schedules.constant_with_warmup(lr=1.0, warmup_steps=2000)
    yield from over(range(10, 4000, 190), **{"RAdam": lambda t: steps[t - 1] / 1e-3})
    yield from over(range(10, 4000, 190), **{"linear over 2/(1 − beta2) steps": lambda t: float(ramp(t))})


@picture("step", "lr", "A cosine with warm-up, and the same for a run 4 times as long", "linear")
def longer_run() -> Points:
    planned = schedules.cosine_with_warmup(lr=1e-3, warmup_steps=100, total_steps=1000)
    longer = rescale_schedule(planned, length=4)
    yield from over(range(0, 1001, 50), **{"1000 steps": lambda t: float(planned(t))})
    yield from over(range(0, 4001, 200), **{"4000 steps": lambda t: float(longer(t))})


@picture("step of the optimizer", "lr", "A cosine over 160 steps", "linear")
def scheduler_too_fast() -> Points:
    cosine = schedules.cosine_annealing(lr=1e-3, T_max=160)
    yield from over(
        range(0, 161, 8),
        **{"stepped once": lambda t: float(cosine(t)), "stepped 4 times": lambda t: float(cosine(4 * t))},
    )


@picture("step", "weight", "AdamW at lr = 1e-5, a steady gradient", "linear")
def bf16_weights() -> Points:
    hyper = ADAMW.hyper(lr=1e-5, weight_decay=0.0)
    for label, dtype in {"bfloat16": jnp.bfloat16, "float32": jnp.float32}.items():
        walked = path(ADAMW, hyper, np.ones(2000), 1.0, dtype)
        yield from over(range(0, 2001, 200), **{label: lambda t, walked=walked: walked[t]})


@picture("size of the gradient", "size of a step, settled", "Adam at lr = 0.001")
def eps_half() -> Points:
    adam = rules.adam()
    for eps in (1e-8, 1e-6, 1e-4):

        def of(g, eps=eps):
            return g * steady_effective_lr(adam, adam.hyper(lr=1e-3, eps=eps), g)

        yield from over(10.0 ** np.arange(-9, 1), **{f"eps={eps:g}": of})


@picture(
    "steps after the gradient became 0",
    "size of a step",
    "What still moves: AdamW at lr = 0.01, weight_decay = 0.01",
    "linear log",
)
def frozen_parameters() -> Points:
    for label, gradients in {"trained before": [1.0] * 20, "never had a gradient": [0.0] * 20}.items():
        with jax.enable_x64(True):
            steps = moved(path(ADAMW, ADAMW.hyper(lr=1e-2), [*gradients, *np.zeros(120)]))[20:]
        yield from over(range(0, 120, 8), **{label: lambda t, steps=steps: steps[t]})


@picture("momentum", "times lr", "SGD at the same lr", "linear log")
def momentum() -> Points:
    values = (0.0, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.99)
    yield from over(values, **{"effective lr, settled": lambda m: gain(SGD, SGD.hyper(lr=1.0, momentum=m))})
    yield from over(
        values, **{"largest stable curvature": lambda m: threshold(SGD, SGD.hyper(lr=1.0, momentum=m)).curvature}
    )


@picture("lr", "largest stable curvature", "Steeper directions of the loss diverge")
def largest_lr() -> Points:
    for label, m in {"SGD": 0.0, "SGD with momentum 0.9": 0.9}.items():

        def of(lr, m=m):
            return threshold(SGD, SGD.hyper(lr=lr, momentum=m)).curvature

        yield from over(10.0 ** np.arange(-4, 1), **{label: of})
    adam = rules.adam()
    yield from over(
        10.0 ** np.arange(-4, 1),
        **{"Adam, of the preconditioned loss": lambda lr: threshold(adam, adam.hyper(lr=lr)).curvature},
    )


@picture(
    "size of the gradient",
    "what decay removes in 1000 steps",
    "Pure noise, lr = 0.001, weight_decay = 0.01, from a weight of 1",
)
def adam_l2() -> Points:
    noise = np.random.default_rng(0).standard_normal(1000)
    for label, rule in {"AdamW": ADAMW, "Adam with weight_decay": rules.adam()}.items():

        def of(size: float, rule: Rule = rule) -> float:
            with jax.enable_x64(True):
                ends = [path(rule, rule.hyper(lr=1e-3, weight_decay=d), size * noise, 1.0)[-1] for d in (0.0, 0.01)]
            return ends[0] - ends[1]

        yield from over(10.0 ** np.arange(-3, 3), **{label: of})


@picture("scale of the loss", "threshold, times", "The same clip on gradients that are still scaled")
def clip_and_scaler() -> Points:
    rule = wrappers.clip_by_global_norm(rules.adamw(), homogeneous=True)
    scales = [10.0**n for n in range(6)]
    yield from over(
        scales, **{"max_norm on scaled gradients": becomes(rule, "max_norm", "loss", hyper={"max_norm": 1.0})}
    )
    yield from over(scales, **{"max_norm after unscale_": lambda scale: 1.0})


@picture("step", "what decay alone leaves", "The scale of a norm that starts at 1, AdamW at lr = 0.001", "linear")
def no_decay() -> Points:
    for decay in (0.0, 0.01, 0.1):
        with jax.enable_x64(True):
            left = path(ADAMW, ADAMW.hyper(lr=1e-3, weight_decay=decay), np.zeros(50_000))
        yield from over(range(0, 50_001, 5000), **{f"weight_decay={decay:g}": lambda t, left=left: left[t]})


if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in sys.argv[1:] or PICTURES:
        (FOLDER / f"{name}.svg").write_text(PICTURES[name](), encoding="utf-8")
