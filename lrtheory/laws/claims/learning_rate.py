"""Claims about what the nominal lr sets: steps, their schedule, and weight decay."""

from __future__ import annotations

from typing import Any

import numpy as np

from ... import rules, schedules
from ...rules import Rule
from ...theory.asking import numbers_of
from ..law import Evidence, claim
from ..trajectory import replay

PER_EPOCH, EPOCHS = 8, 20
DROPS = np.arange(5, EPOCHS, 5) * PER_EPOCH


def lr_in_force(first: float, later: float, t: np.ndarray) -> np.ndarray:
    """Lr that acts at each step of a run that is never told another: the first one, at all steps."""
    return np.full(t.shape, first)


def _check_initial_lr(formula: Any, seed: int) -> Evidence:
    rng = np.random.default_rng([seed, 82])
    adam = rules.adam()
    grads, t = rng.standard_normal((200, 2)), np.arange(200)
    last = [replay(adam, adam.hyper()._replace(lr=formula(lr, 1e-3, t)), grads).steps[-1] for lr in (1e-3, 2e-3)]
    return Evidence(
        ran="adam with default betas, 200 steps on the same gradients with initial lr 0.001 and 0.002: step 200",
        residual=float(np.abs(last[1] / last[0] - 1).min()),
        bound=0.5,
        derivation="change of the last step: 1 if every step is in proportion to lr, 0 if the initial lr were forgotten",
        is_counterexample=True,
    )


def updates_halve_at_once(rule: Rule, hyper: Any) -> bool:
    """Whether half the lr means half the step at once, on given gradients once averages have settled.

    Not where lr is inside a momentum buffer (lars), acts a step late (asgd, on the decay of lr), or is capped or ignored
    (adafactor above 1/√t, rprop).
    """
    h = numbers_of(rule, hyper)
    if "buffer" in rule.facts.lr_in_state:
        return h.momentum == 0
    return not rule.facts.lr_in_state and (rule.name != "adafactor" or h.lr < DROPS[-1] ** -0.5)


def _check_step_schedule(formula: Any, seed: int) -> Evidence:
    rng = np.random.default_rng([seed, 83])
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
    wrong, figures = 0, {}
    for rule, numbers in cases:
        hyper = rule.hyper(**numbers)
        steps = replay(rule, hyper._replace(lr=lr * numbers.get("lr", 0.01) / 0.01), g, np.ones(2)).steps
        ratio = steps[DROPS] / steps[DROPS - 1]
        wrong += bool(np.all(np.abs(ratio - 0.5) < 1e-6)) != formula(rule, hyper)
        figures[f"step after a drop over the one before, {rule!r} {numbers}"] = float(ratio[0, 0])
    halvings = lr[DROPS] / lr[DROPS - 1]
    return Evidence(
        ran=f"schedules.step(step_size=5, gamma=0.5) over {EPOCHS} epochs of {PER_EPOCH} steps: sgd without and with momentum, adam, "
        "rmsprop with momentum, lion, lars with momentum, asgd, rprop and adafactor (also at 100 times the lr) on constant gradients",
        residual=float(wrong + np.sum(halvings != 0.5)),
        bound=0.0,
        derivation="a count: rules whose steps halve to 1e-6 at each drop and it says otherwise, or the reverse, and drops at which lr "
        "itself does not halve",
        figures=figures,
    )


def torch_decay(lr: float, weight_decay: float) -> float:
    """weight_decay that is given to the rule: in torch the number as set, which the rule multiplies by lr."""
    return weight_decay


def _check_decay(formula: Any, seed: int) -> Evidence:
    rng = np.random.default_rng([seed, 85])
    adamw, first = rules.adamw(), rng.uniform(1, 3, 2)
    removed = []
    for lr in (0.01, 0.02):
        hyper = adamw.hyper(lr=lr, weight_decay=formula(lr, 0.1))
        removed.append(replay(adamw, hyper, np.zeros((1, 2)), first).steps[0])
    return Evidence(
        ran="one step of adamw on zero gradients with weight_decay 0.1 at lr 0.01 and 0.02",
        residual=float(np.abs(removed[1] / removed[0] - 1).max()),
        bound=0.5,
        derivation="change of what is removed: 1 if it is in proportion to lr, 0 if it did not depend on it",
        is_counterexample=True,
        figures={"removed at lr 0.01, over θ": float((removed[0] / first)[0])},
    )


INITIAL_LR = claim(
    "adam-initial-lr",
    "How long Adam's lr matters",
    "The initial lr of Adam only sets the starting scale.",
    "false",
    "false",
    r"\Delta_t \propto lr \quad \text{for all } t",
    scope="adam at given gradients: v̂ adapts to gradients, never to lr, so that twice the lr means twice every step. It is true of rprop, "
    "whose step sizes start at lr and then go their own way",
    source="1412.6980, algorithm 1; counterexample here",
    formula=lr_in_force,
    check=_check_initial_lr,
    mutants={"lr acts once": lambda first, later, t: np.where(t == 0, first, later)},
)


STEP_LR = claim(
    "step-lr-halves",
    "What StepLR halves",
    "StepLR with step 5 and gamma 0.5 halves the lr every five epochs, and the updates with it.",
    "depends",
    "exact",
    r"lr_e = lr_0 \cdot 0.5^{\lfloor e/5 \rfloor}; \quad \Delta \text{ halves at once where } \Delta \propto lr_t",
    scope="lr: true if scheduler.step() is called once an epoch. Updates, on the same gradients: true of sgd, adam, rmsprop and lion, momentum "
    "included, since torch keeps lr outside the buffer. False where lr is inside it (lars, and momentum in Keras and optax.rmsprop), "
    "late by a step (asgd), capped at 1/√t (adafactor, from step 1/lr² on: 10⁴ at lr 0.01) or used once (rprop). In training, gradients change with the lr",
    source="torch/optim/lr_scheduler.py (2.13), StepLR; each rule's formula; measured here",
    formula=updates_halve_at_once,
    check=_check_step_schedule,
    mutants={"for every rule": lambda rule, hyper: True, "for none": lambda rule, hyper: False},
)


DECAY_FREE_OF_LR = claim(
    "adamw-decay-lr",
    "AdamW's decay and lr",
    "PyTorch's AdamW decay does not depend on lr.",
    "false",
    "false",
    r"\theta \leftarrow (1 - lr \cdot weight\_decay)\, \theta",
    scope="torch.optim.AdamW: decay is lr·weight_decay·θ, so that a schedule of lr schedules it too. In algorithm 2 of the paper it does not "
    "depend on lr, only on the schedule; momentum.fully-decoupled-decay says how to have that",
    source="torch/optim/adam.py (2.13), _single_tensor_adam; 1711.05101, algorithm 2; in torch itself by test",
    formula=torch_decay,
    check=_check_decay,
    mutants={"weight_decay/lr is given": lambda lr, weight_decay: weight_decay * 0.01 / lr},
)
