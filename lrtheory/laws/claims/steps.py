"""Claims about the lr: what it sets, how it is averaged, and how large steps get."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ... import rules, schedules
from ...rules import Rule
from ...theory.asking import numbers_of
from ...theory.bounds import extremal_gradients, powers
from ...theory.stability import heavy_ball_threshold
from ..law import Rng, Shown, law, relative
from ..trajectory import descend, quadratic, replay
from .loss import STEPS, scale_changes_no_bit

PER_EPOCH, EPOCHS = 8, 20
DROPS = np.arange(5, EPOCHS, 5) * PER_EPOCH


def _averages(x: np.ndarray, beta: float) -> np.ndarray:
    """Bias-corrected averages of what came up to each step."""
    return np.stack([np.average(x[:t], axis=0, weights=powers(beta, t)) for t in range(1, len(x) + 1)])


def updates_halve_at_once(rule: Rule, hyper: Any) -> bool:
    """Whether half the lr means half the step at once, on given gradients once averages have settled.

    Not where lr is inside a momentum buffer (lars), acts a step late (asgd, on the decay of lr), or is capped or ignored
    (adafactor above 1/√t, rprop).
    """
    h = numbers_of(rule, hyper)
    if "buffer" in rule.facts.lr_in_state:
        return h.momentum == 0
    return not rule.facts.lr_in_state and (not rule.facts.counts or h.lr < DROPS[-1] ** -0.5)


def diverging_scale(hyper: Any, curvature: float) -> float:
    """α above which SGD diverges on a quadratic."""
    return heavy_ball_threshold(hyper.lr, hyper.momentum, hyper.dampening if hyper.momentum else 0.0) / curvature


@law(
    r"""exact claims.adam-lr-hidden (true): Adam's nominal and effective lr
    E_t = \frac{lr}{\sqrt{\hat v_t} + eps}, \quad \hat v_t = \frac{\sum_{s \le t} beta2^{t-s} g_s^2}{\sum_{s \le t}
    beta2^{t-s}}
    claim: Adam's param_groups[0]['lr'] does not change while its effective lr does.
    scope: adam and adamw without a scheduler, which alone writes to param_groups; E of each coordinate follows its
    squared gradients
    source: 1412.6980, algorithm 1; torch/optim/adam.py (2.13), which never writes lr; in torch itself by test
    why: relative: averages of 30 terms of one sign, and steps taken from parameters at most 30 times their size: some
    thousand roundings of 2^-53
    """,
    lambda lr, beta2, eps, grads: lr / (np.sqrt(_averages(grads**2, beta2)) + eps),
    {
        "the effective lr is lr": lambda lr, beta2, eps, grads: np.full(grads.shape, lr),
        "the last gradient alone": lambda lr, beta2, eps, grads: lr / (np.abs(grads) + eps),
    },
    bound=1e-12,
    key=80,
)
def adam_lr_hidden(formula: Any, rng: Rng) -> Shown:
    adam = rules.adam()
    hyper = adam.hyper(lr=rng.uniform(1e-3, 0.1), beta1=0.8, beta2=rng.uniform(0.8, 0.99), eps=1e-6)
    grads = rng.uniform(0.5, 2, (STEPS, 2)) * np.geomspace(1, 1e-3, STEPS)[:, None]
    measured = replay(adam, hyper, grads).steps / _averages(grads, 0.8)
    yield f"adam at constant lr on {STEPS} gradients that fall a thousandfold: steps over the average gradient"
    yield relative(measured, formula(hyper.lr, hyper.beta2, hyper.eps, grads))
    yield {
        "nominal lr, last over first": 1.0,
        "effective lr, last over first": float((measured[-1] / measured[0]).max()),
    }


@law(
    r"""exact claims.adaptive-favours-small (depends): Where adaptive rules give a larger lr
    E = \frac{lr}{rms(g) + eps} \quad (\text{centered: } \frac{lr}{std(g) + eps}; \; \text{adabelief: } std(g)\, beta1
    \sqrt{\tfrac{2}{1 + beta1}} \text{ for } std(g))
    claim: Adaptive rules give a larger lr where gradients are small.
    scope: true of rules that divide by the root mean square or maximum of gradients, or follow signs: adam, rmsprop,
    adagrad, adamax, signum; up to lr/eps. False of centered rmsprop and adabelief, which divide by the deviation:
    steady gradients get a larger lr, however large they are
    source: definitions of the rules; 1308.0850, eq. 38-45; 2010.07468; measured here
    why: a count: rules for which the coordinate with the larger median E over the last 50 steps is another than stated
    """,
    lambda rule: rule.facts.divides_by == "size",
    {"all adaptive rules": lambda rule: rule.facts.divides_by != "nothing", "none": lambda rule: False},
    key=81,
)
def adaptive_favours_small(formula: Any, rng: Rng) -> Shown:
    steps = 200
    grads = np.stack([10 + 0.01 * rng.standard_normal(steps), rng.choice([-1.0, 1.0], steps)], axis=1)
    cases = [rules.get(name)() for name in ("sgd", "adam", "rmsprop", "adagrad", "adamax", "signum")]
    cases, wrong = [*cases, rules.rmsprop(centered=True), rules.adabelief()], 0
    for rule in cases:
        hyper = rule.hyper(lr=0.01, **{name: 0.9 for name in ("alpha", "beta2") if name in rule.Hyper._fields})
        large, small = np.median(replay(rule, hyper, grads).effective_lr[-50:], axis=0)
        wrong += (small > large) != formula(rule)
        yield {f"E where small over E where large, {rule!r}": float(small / large)}
    yield f"{', '.join(repr(rule) for rule in cases)}: gradients of 10 that hardly change beside ±1 at random, {steps} steps"
    yield wrong


@law(
    r"""false claims.adam-initial-lr (false): How long Adam's lr matters
    \Delta_t \propto lr \quad \text{for all } t
    claim: The initial lr of Adam only sets the starting scale.
    scope: adam at given gradients: v̂ adapts to gradients, never to lr, so that twice the lr means twice every step. It
    is true of rprop, whose step sizes start at lr and then go their own way
    source: 1412.6980, algorithm 1; counterexample here
    ran: adam with default betas, 200 steps on the same gradients with initial lr 0.001 and 0.002: step 200
    why: change of the last step: 1 if every step is in proportion to lr, 0 if the initial lr were forgotten
    """,
    lambda first, later, t: np.full(t.shape, first),
    {"lr acts once": lambda first, later, t: np.where(t == 0, first, later)},
    bound=0.5,
    key=82,
)
def adam_initial_lr(formula: Any, rng: Rng) -> Shown:
    adam = rules.adam()
    grads, t = rng.standard_normal((200, 2)), np.arange(200)
    last = [replay(adam, adam.hyper()._replace(lr=formula(lr, 1e-3, t)), grads).steps[-1] for lr in (1e-3, 2e-3)]
    yield relative(last[1], last[0]).min()


@law(
    r"""exact claims.step-lr-halves (depends): What StepLR halves
    lr_e = lr_0 \cdot 0.5^{\lfloor e/5 \rfloor}; \quad \Delta \text{ halves at once where } \Delta \propto lr_t
    claim: StepLR with step 5 and gamma 0.5 halves the lr every five epochs, and the updates with it.
    scope: lr: true if scheduler.step() is called once an epoch. Updates, on the same gradients: true of sgd, adam,
    rmsprop and lion, momentum included, since torch keeps lr outside the buffer. False where lr is inside it (lars, and
    momentum in Keras and optax.rmsprop), late by a step (asgd), capped at 1/√t (adafactor, from step 1/lr² on: 10⁴ at
    lr 0.01) or used once (rprop). In training, gradients change with the lr
    source: torch/optim/lr_scheduler.py (2.13), StepLR; each rule's formula; measured here
    why: a count: rules whose steps halve to 1e-6 at each drop and it says otherwise, or the reverse, and drops at which
    lr itself does not halve
    """,
    updates_halve_at_once,
    {"for every rule": lambda rule, hyper: True, "for none": lambda rule, hyper: False},
    key=83,
    x64=False,
)
def step_lr_halves(formula: Any, rng: Rng) -> Shown:
    lr = np.repeat(np.asarray(schedules.step(lr=0.01, step_size=5, gamma=0.5)(np.arange(EPOCHS))), PER_EPOCH)
    g = np.tile(rng.uniform(0.5, 2, 2), (EPOCHS * PER_EPOCH, 1))
    cases: list[tuple[Rule, dict[str, float]]] = [
        (rules.sgd(), {}),
        (rules.sgd(), {"momentum": 0.5}),
        (rules.adam(), {}),
        (rules.rmsprop(), {"alpha": 0.5, "momentum": 0.5}),
        (rules.lion(), {}),
        (rules.lars(), {"momentum": 0.9}),
        (rules.asgd(), {"lambd": 0.0}),
        (rules.rprop(), {"step_size_max": 1.0}),
        (rules.adafactor(), {"lr": 0.01, "eps2": 10.0}),  # eps2 above rms(θ), which would change from step to step
        (rules.adafactor(), {"lr": 1.0, "eps2": 10.0}),
    ]
    wrong = 0
    for rule, numbers in cases:
        hyper = rule.hyper(**numbers)
        steps = replay(rule, hyper._replace(lr=lr * numbers.get("lr", 0.01) / 0.01), g, np.ones(2)).steps
        ratio = steps[DROPS] / steps[DROPS - 1]
        wrong += bool(np.all(np.abs(ratio - 0.5) < 1e-6)) != formula(rule, hyper)
        yield {f"step after a drop over the one before, {rule!r} {numbers}": float(ratio[0, 0])}
    yield (
        f"schedules.step(step_size=5, gamma=0.5) over {EPOCHS} epochs of {PER_EPOCH} steps: sgd without and with momentum, adam, "
        "rmsprop with momentum, lion, lars with momentum, asgd, rprop and adafactor (also at 100 times the lr) on constant gradients"
    )
    yield wrong + np.sum(lr[DROPS] / lr[DROPS - 1] != 0.5)


@law(
    r"""exact claims.large-scale-diverges (depends): The α at which training diverges
    \alpha^* = \frac{2}{lr \cdot h} \quad (\text{momentum: } \frac{2(1 + momentum)}{lr\,(1 - dampening)\, h})
    claim: Large α leads to divergence: at which α exactly?
    scope: true of sgd on a quadratic of largest curvature h: below α* it converges, above it diverges. False of adam at
    eps 0 and of rules whose lr is in [param], which α does not move
    source: roots of the linear recursion; derived here
    ran: sgd without and with momentum and dampening on a quadratic, 400 steps at 0.99 and 1.01 of that α; adam at eps 0
    under α = 1 and 2^20
    why: a count of outcomes other than stated: shrinks under, grows over, and for adam the same bits. 1% beyond the
    threshold the larger root is 0.1% or more from 1, a factor of 1.3 over 290 steps
    """,
    diverging_scale,
    {
        "1/(lr·h)": lambda hyper, h: diverging_scale(hyper, h) / 2,
        "momentum left out": lambda hyper, h: 2 / (hyper.lr * h),
        "4/(lr·h)": lambda hyper, h: 2 * diverging_scale(hyper, h),
    },
    key=75,
)
def large_scale_diverges(formula: Any, rng: Rng) -> Shown:
    sgd, curvature, start, wrong = rules.sgd(), rng.uniform(0.5, 3), np.array([1.0, -2.0]), 0
    for numbers in ({}, {"momentum": rng.uniform(0.3, 0.9), "dampening": rng.uniform(0, 0.5)}):
        hyper = sgd.hyper(lr=rng.uniform(0.01, 0.3), **numbers)
        for factor, expected in ((0.99, False), (1.01, True)):
            size = descend(sgd, hyper, quadratic, start, 400, factor * formula(hyper, curvature) * curvature).params
            wrong += (np.abs(size[-1]).max() > np.abs(size[100:110]).max()) != expected
    yield wrong + (not scale_changes_no_bit(rules.adam().hyper(lr=0.1, eps=0.0), curvature))
    yield {"threshold α": formula(sgd.hyper(lr=0.1), 1.0)}


@law(
    r"""false claims.lr-is-largest-step (false): Adam's largest step
    \max |\Delta_t| \to 7.27 \cdot lr \quad (beta1 = 0.9, \; beta2 = 0.999)
    claim: lr is the largest step Adam can take.
    scope: adam with default betas; gradients that grow by 11% a step approach it. True for a constant gradient, and of
    signum and lion
    source: bounds.adam; counterexample here. 1412.6980, section 2.1, says approximately
    why: lr itself, and room for rounding: the claim is that no step is larger. bounds.adam says how large they can be
    """,
    rules.adam,
    {"steps follow signs": rules.signum},
    bound=1 + 1e-9,
    key=84,
)
def lr_is_largest_step(formula: Any, rng: Rng) -> Shown:
    rule, t = formula(), 5000
    stream = rng.uniform(0.1, 10) * extremal_gradients(powers(0.9, t), powers(0.999, t))
    yield abs(replay(rule, rule.hyper(lr=1e-3), np.tile(stream[:, None], (1, 2))).steps[-1, 0]) / 1e-3
    yield (
        f"{rule!r} with default betas, {t} gradients each 1.11 times the one before (the first are 0, being below 1e-323): the "
        "last step over lr"
    )


@law(
    r"""exact claims.adam-ignores-scale (depends): What α does to Adam
    \frac{\Delta_1(\alpha)}{\Delta_1(1)} = \frac{\alpha(|g| + eps)}{\alpha |g| + eps}
    claim: Scaling the loss has no effect on Adam.
    scope: adam's first step at fixed numbers. No effect at eps 0, or with eps·α (and weight_decay·α where it is
    coupled); next to none while |g| ≫ eps; as for SGD, all of α, while α|g| ≪ eps
    source: 1412.6980, algorithm 1; derived here
    ran: adam's first step on gradients from 1e-10 to 1e-4, α from 2^-10 to 10^4, eps 1e-8, 1e-6 and 0
    why: relative: some twenty roundings of 2^-53 in two steps and their quotient
    """,
    lambda alpha, gradient, eps: alpha * (gradient + eps) / (alpha * gradient + eps),
    {"no effect": lambda alpha, g, eps: 1.0, "all of α": lambda alpha, g, eps: alpha},
    bound=1e-13,
    key=76,
)
def adam_ignores_scale(formula: Any, rng: Rng) -> Shown:
    adam, largest = rules.adam(), 1.0
    gradients = 10 ** rng.uniform(-10, -4, 2)
    for eps in (1e-8, 1e-6, 0.0):
        hyper = adam.hyper(lr=0.1, eps=eps)
        plain = replay(adam, hyper, gradients[None]).steps[0]
        for alpha in (2.0**-10, 0.1, 8.0, 1e4):
            measured = replay(adam, hyper, alpha * gradients[None]).steps[0] / plain
            yield relative(measured, np.array([formula(alpha, g, eps) for g in gradients]))
            largest = max(largest, float(measured.max()), float(1 / measured.min()))
    yield {"largest change of a step, either way": largest}


@law(
    r"""false claims.adamw-decay-lr (false): AdamW's decay and lr
    \theta \leftarrow (1 - lr \cdot weight\_decay)\, \theta
    claim: PyTorch's AdamW decay does not depend on lr.
    scope: torch.optim.AdamW: decay is lr·weight_decay·θ, so that a schedule of lr schedules it too. In algorithm 2 of
    the paper it does not depend on lr, only on the schedule; momentum.fully-decoupled-decay says how to have that
    source: torch/optim/adam.py (2.13), _single_tensor_adam; 1711.05101, algorithm 2; in torch itself by test
    ran: one step of adamw on zero gradients with weight_decay 0.1 at lr 0.01 and 0.02
    why: change of what is removed: 1 if it is in proportion to lr, 0 if it did not depend on it
    """,
    lambda lr, weight_decay: weight_decay,
    {"weight_decay/lr is given": lambda lr, weight_decay: weight_decay * 0.01 / lr},
    bound=0.5,
    key=85,
)
def adamw_decay_lr(formula: Any, rng: Rng) -> Shown:
    adamw, first = rules.adamw(), rng.uniform(1, 3, 2)
    hypers = [adamw.hyper(lr=lr, weight_decay=formula(lr, 0.1)) for lr in (0.01, 0.02)]
    removed = [replay(adamw, hyper, np.zeros((1, 2)), first).steps[0] for hyper in hypers]
    yield relative(removed[1], removed[0])
    yield {"removed at lr 0.01, over θ": float((removed[0] / first)[0])}


@law(
    r"""false claims.centered-rmsprop-bounded (false): Centered RMSprop's steps
    \Delta_t = \frac{lr}{\sqrt{alpha^t (1 - alpha^t)}} \to \infty
    claim: Centered RMSprop has bounded steps.
    scope: rmsprop(centered=True) under a constant gradient: no bound holds but the one that eps makes, lr·|g|/eps,
    which grows with the gradient
    source: momentum.constant-gradient-rmsprop-centered and bounds.rmsprop-centered; counterexample here
    why: a hundred times lr, where RMSprop's own bound lr/√(1−alpha) is 1.58 times: a step that grows by 1/√alpha from
    one to the next passes it and any other, while rounding leaves v − g_avg² above 0
    """,
    lambda: rules.rmsprop(centered=True),
    {"not centered": rules.rmsprop},
    bound=100.0,
    key=86,
)
def centered_rmsprop_bounded(formula: Any, rng: Rng) -> Shown:
    rule = formula()
    hyper = rule.hyper(lr=0.1, alpha=0.6, eps=0.0)
    steps = np.abs(replay(rule, hyper, np.tile(rng.uniform(0.5, 2, 2), (30, 1))).steps)
    yield f"{rule!r} with alpha 0.6 and eps 0 under a constant gradient: the largest of 30 steps over lr"
    yield steps / hyper.lr


@law(
    r"""false claims.adafactor-scale-free (false): Adafactor's default eps1
    u = \frac{g}{\sqrt{\max(v, eps1^2)}}, \quad eps1 = 2^{-7} \; (\text{bfloat16}), \; 2^{-23} \; (\text{float32})
    claim: Adafactor is free of the loss scale by default.
    scope: torch's default: eps1 is the machine epsilon of the parameter's dtype, whatever the loss scale, so that steps
    shrink in proportion to gradients below it: 0.0078 in bfloat16, 1.2e-7 in float32. Of matrices the mean of row_var
    is clamped by eps1 too, so that freedom ends where rms(g) is √eps1, 0.088 and 3.5e-4: below, updates first grow, by
    up to eps1^(−1/4), as far as clipping by d lets it be seen. Free of it at eps1 = 0, and while clipping by d hides
    the bound
    source: torch/optim/_adafactor.py (2.13), _single_tensor_adafactor; counterexample here
    ran: one step of adafactor on a 4x3 bfloat16 matrix at 0, gradients of size 0.5e-3 to 1e-3, and on a sixteenth of
    the loss
    why: change of the step's size, 0 for a rule that is free of the loss scale but for some roundings to 2^-9, which
    stay below 1%
    """,
    lambda: (rule := rules.adafactor(), rule.hyper(lr=0.01)),
    {"without eps1": lambda: (rule := rules.adafactor(machine_eps=False), rule.hyper(lr=0.01, eps1=0.0))},
    bound=0.1,
    key=77,
    x64=False,
)
def adafactor_scale_free(formula: Any, rng: Rng) -> Shown:
    rule, hyper = formula()
    step = jax.jit(rule.step)
    g = 1e-3 * rng.uniform(0.5, 1, (4, 3)) * rng.choice([-1, 1], (4, 3))
    params = jnp.zeros((4, 3), jnp.bfloat16)
    sizes = []
    for alpha in (1.0, 2.0**-4):
        moved, _ = step(hyper, params, rule.init(params), jnp.asarray(alpha * g, jnp.bfloat16))
        sizes.append(float(jnp.linalg.norm(moved.astype(jnp.float32))))
    yield abs(sizes[1] / sizes[0] - 1)
    yield {"step under α = 1/16 over that under 1": sizes[1] / sizes[0]}


@law(
    r"""false claims.mean-effective-lr (false): Which mean lr/(mean of √v + eps) is
    \frac{lr}{mean(\sqrt{\hat v}) + eps} = \frac{1}{mean(1/E)} \le mean(E)
    claim: lr/(mean of √v + eps) is the mean effective lr.
    scope: adam: it is the harmonic mean over coordinates (with v̂ for v), and the arithmetic one only where all
    coordinates are equal. For two coordinates whose gradients are two decades apart it is 25 times too small, for many
    spread evenly in log scale between 4.6
    source: Jensen's inequality; derived here
    why: 1, and a percent: the claim is that the two are the same. The arithmetic mean is larger by Jensen's inequality,
    here by (1 + r)²/(4r), some 25 times at r = 0.01, and a figure that is not that to 1e-4 (eps is 1e-6 of the smaller
    root) is none; the harmonic mean is the same
    """,
    lambda effective_lr: float(np.mean(effective_lr)),
    {"the harmonic mean is meant": lambda effective_lr: float(1 / np.mean(1 / effective_lr))},
    bound=1.01,
    key=87,
)
def mean_effective_lr(formula: Any, rng: Rng) -> Shown:
    adam, hyper = rules.adam(), rules.adam().hyper(lr=1e-3)
    run = replay(adam, hyper, rng.standard_normal((STEPS, 2)) * np.array([1.0, 1e-2]))
    root = np.sqrt(run.states.v[-1] / (1 - hyper.beta2**STEPS))
    claimed = hyper.lr / (root.mean() + hyper.eps)
    found = float(formula(run.effective_lr[-1]))
    # (1 + r)²/(4r) for two coordinates whose roots are apart by r: what Jensen's inequality is off by, to rounding.
    r = float(root[1] / root[0])
    expected = claimed * (1 + r) ** 2 / (4 * r)
    yield f"adam, {STEPS} gradients of size 1 in one coordinate and 0.01 in the other: mean effective lr over lr/(mean of √v̂ + eps)"
    yield found / claimed if abs(found / expected - 1) < 1e-4 else float("nan")
