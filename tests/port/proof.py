"""A run that is moved on its way, beside the one that is not: for each rule, from each framework into each other."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from lrtheory import port, rules
from lrtheory.adopting.in_keras import to_numpy
from lrtheory.compiling import quickly_compiled
from lrtheory.names import entry, keras
from lrtheory.port import counterparts
from lrtheory.rules import SparseGradient

os.environ.setdefault("KERAS_BACKEND", "jax")

FRAMEWORKS = ("torch", "optax", "keras", "lrtheory")
BEFORE, AFTER, CHUNK = 10, 100, 10
#: Of a coordinate's reach, in float64: a hundred steps of two implementations that round otherwise.
GATE = 1e-12
#: So many entries that what is rounded on its way is not the same in all of them by chance.
SHAPES = {"w": (12, 8), "b": (9,)}
MATRICES = {"w": (6, 4), "v": (2, 4)}


@dataclasses.dataclass(frozen=True)
class Case:
    """A rule with options and numbers; ``gate`` of its own where an implementation works in fewer digits."""

    rule: str
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    numbers: Mapping[str, float] = dataclasses.field(default_factory=dict)
    gate: float = GATE

    @property
    def label(self) -> str:
        """For a table."""
        parts = [f"{o}" if v is True else f"{o}={v}" for o, v in self.options.items()]
        parts += [f"{n}={v:g}" for n, v in self.numbers.items() if n not in ("lr", "weight_decay")]
        return f"{self.rule}" + (f" ({', '.join(parts)})" if parts else "")

    @property
    def made(self) -> tuple[Any, Any]:
        """The rule and its numbers."""
        rule = rules.get(self.rule)(**self.options)
        return rule, rule.hyper(**self.numbers)


CASES = [
    Case("sgd", {}, {"lr": 0.1}),
    Case("sgd", {}, {"lr": 0.1, "momentum": 0.9}),
    Case("sgd", {"nesterov": True}, {"lr": 0.05, "momentum": 0.8, "weight_decay": 0.02}),
    Case("sgd", {}, {"lr": 0.1, "momentum": 0.9, "dampening": 0.4}),
    Case("adam", {}, {"lr": 0.01, "weight_decay": 0.02}),
    Case("adam", {"decoupled": True}, {"lr": 0.01, "weight_decay": 0.1}),
    Case("adam", {"decoupled": True}, {"lr": 0.01, "weight_decay": 0.1, "eps": 0.0}),
    Case("adam", {"amsgrad": True}, {"lr": 0.01, "eps": 0.0}),
    Case("rmsprop", {}, {"lr": 0.01, "weight_decay": 0.02}),
    Case("rmsprop", {"centered": True}, {"lr": 0.01, "momentum": 0.8}),
    Case("rmsprop", {}, {"lr": 0.01, "momentum": 0.8, "eps": 0.0}),
    Case("adagrad", {}, {"lr": 0.1, "initial_accumulator_value": 0.1}),
    Case("adagrad", {}, {"lr": 0.1, "eps": 0.0}),
    Case("adadelta", {}, {"lr": 1.0}),
    Case("adamax", {}, {"lr": 0.01}),
    Case("adamax", {}, {"lr": 0.01, "eps": 0.0}),
    Case("nadam", {}, {"lr": 0.01}),
    Case("nadam", {}, {"lr": 0.01, "momentum_decay": 1.0}),
    Case("radam", {}, {"lr": 0.01, "beta2": 0.99}),
    Case("rprop", {}, {"lr": 0.01}),
    Case("asgd", {}, {"lr": 0.05, "t0": 20.0, "lambd": 0.01}),
    Case("adafactor", {}, {"lr": 0.01}),
    Case("muon", {}, {"lr": 0.02}, gate=2e-3),  # its iteration is in bfloat16: parity.table
    Case("sparse_adam", {}, {"lr": 0.01}),
    Case("lion", {}, {"lr": 0.01, "weight_decay": 0.1}),
    Case("signum", {}, {"lr": 0.01, "momentum": 0.8, "weight_decay": 0.1}),
    Case("lars", {}, {"lr": 0.5, "momentum": 0.8}),
    Case("lamb", {}, {"lr": 0.01}),
    Case("adabelief", {}, {"lr": 0.01}),
    Case("adan", {}, {"lr": 0.01}),
    Case("schedule_free_sgd", {}, {"lr": 0.1}),
    Case("schedule_free_adamw", {}, {"lr": 0.01, "weight_lr_power": 0.0}),
]  # fmt: skip


@contextlib.contextmanager
def float64() -> Iterator[None]:
    """Of all frameworks."""
    import keras
    import torch

    before = torch.get_default_dtype(), keras.config.floatx()
    torch.set_default_dtype(torch.float64)
    keras.config.set_floatx("float64")
    try:
        with jax.enable_x64(True):
            yield
    finally:
        torch.set_default_dtype(before[0])
        keras.config.set_floatx(before[1])


class Optimizer:
    """One framework's optimizer of a case, and a run of it."""

    def __init__(self, case: Case, params: Mapping[str, np.ndarray]) -> None:
        self.rule, self.hyper = case.made
        self.first = dict(params)
        self.make()

    def run(self, grads: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Parameters after each step; it goes on from where it is."""
        steps = len(next(iter(grads.values())))
        chunks = [self.chunk({n: g[i : i + CHUNK] for n, g in grads.items()}) for i in range(0, steps, CHUNK)]
        return {name: np.concatenate([c[name] for c in chunks]) for name in grads}

    def make(self) -> None:
        """What stands for the optimizer."""
        raise NotImplementedError

    def chunk(self, grads: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Some steps."""
        raise NotImplementedError

    @property
    def source(self) -> Any:
        raise NotImplementedError

    @property
    def target(self) -> Any:
        return self.source

    def load(self, found: port.Ported) -> None:
        found.load()

    def kept(self) -> list[np.ndarray]:
        """All of its state."""
        raise NotImplementedError


class InTorch(Optimizer):
    """With torch's own loop."""

    def make(self) -> None:
        import torch

        self.params = {name: torch.nn.Parameter(torch.tensor(p)) for name, p in self.first.items()}
        call = counterparts.in_torch(self.rule, self.hyper)
        self.optimizer = dataclasses.replace(call, first=([*self.params.items()],)).make()

    def chunk(self, grads):
        import torch

        path = {name: [] for name in grads}
        for t in range(len(next(iter(grads.values())))):
            for name, p in self.params.items():
                g = torch.tensor(grads[name][t])
                p.grad = g.to_sparse() if self.rule.array_rule.sparse else g
            self.optimizer.step()
            for name, p in self.params.items():
                path[name].append(p.detach().numpy().copy())
        return {name: np.stack(values) for name, values in path.items()}

    @property
    def source(self):
        return self.optimizer

    def kept(self):
        return flat(self.optimizer.state_dict()["state"])


class InOptax(Optimizer):
    """As one program for each chunk."""

    def make(self) -> None:
        import optax

        parts = counterparts.advised(
            lambda rule, hyper: counterparts.in_optax(rule, hyper._asdict(), hyper.lr),
            self.rule,
            self.hyper,
            "lrtheory",
        )
        self.tx = optax.chain(*(p.make() for p in parts))
        self.params = {name: jnp.asarray(p) for name, p in self.first.items()}
        self.state = self.tx.init(self.params)

        def step(carry, g):
            updates, state = self.tx.update(g, carry[1], carry[0])
            params = optax.apply_updates(carry[0], updates)
            return (params, state), params

        self.program = quickly_compiled()(lambda params, state, grads: jax.lax.scan(step, (params, state), grads))

    def chunk(self, grads):
        given = {name: jnp.asarray(g) for name, g in grads.items()}
        (self.params, self.state), path = self.program(self.params, self.state, given)
        return {name: np.asarray(p) for name, p in path.items()}

    @property
    def source(self):
        return self.tx, self.state, self.params

    @property
    def target(self):
        return self.tx, self.params

    def load(self, found):
        self.state, self.params = found.state, found.params

    def kept(self):
        return flat(self.state)


class InKeras(Optimizer):
    """On its JAX backend, as one program for each chunk."""

    def make(self) -> None:
        import keras

        made = counterparts.advised(
            lambda rule, hyper: counterparts.in_keras(rule, hyper._asdict(), hyper.lr),
            self.rule,
            self.hyper,
            "lrtheory",
        )
        self.optimizer = made.make()
        self.variables = [keras.Variable(p, name=name) for name, p in self.first.items()]
        self.optimizer.build(self.variables)

        def step(carry, g):
            params, state = self.optimizer.stateless_apply(carry[1], [g[n] for n in self.first], carry[0])
            return (params, state), dict(zip(self.first, params, strict=True))

        self.program = quickly_compiled()(lambda params, state, grads: jax.lax.scan(step, (params, state), grads))

    def chunk(self, grads):
        given = {name: jnp.asarray(g) for name, g in grads.items()}
        carry = [v.value for v in self.variables], [v.value for v in self.optimizer.variables]
        (params, state), path = self.program(*carry, given)
        for variable, value in zip([*self.variables, *self.optimizer.variables], [*params, *state], strict=True):
            variable.assign(value)
        return {name: np.asarray(p) for name, p in path.items()}

    @property
    def source(self):
        return self.optimizer

    def kept(self):
        return [to_numpy(v) for v in self.optimizer.variables]


class InOurs(Optimizer):
    """Our rule."""

    def make(self) -> None:
        self.params = {name: jnp.asarray(p) for name, p in self.first.items()}
        self.state = self.rule.init(self.params)

        def step(carry, g):
            given = {n: SparseGradient.from_dense(v) for n, v in g.items()} if self.rule.array_rule.sparse else g
            params, state = self.rule.step(self.hyper, carry[0], carry[1], given)
            return (params, state), params

        self.program = quickly_compiled()(lambda params, state, grads: jax.lax.scan(step, (params, state), grads))

    chunk = InOptax.chunk

    @property
    def source(self):
        return self.rule, self.hyper, self.state, self.params

    @property
    def target(self):
        return self.rule

    def load(self, found):
        self.state, self.params = jax.tree.map(jnp.asarray, (found.state, found.params))

    def kept(self):
        return flat(self.state)


OPTIMIZERS = {"torch": InTorch, "optax": InOptax, "keras": InKeras, "lrtheory": InOurs}


def flat(tree: Any) -> list[np.ndarray]:
    """The arrays of a tree."""
    return [np.asarray(leaf).copy() for leaf in jax.tree.leaves(tree)]


def drawn(case: Case, seed: int) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """First parameters, and gradients whose sign and size change."""
    rng = np.random.default_rng(seed)
    shapes = MATRICES if case.rule in ("muon", "sparse_adam") else SHAPES
    params = {name: rng.standard_normal(shape) for name, shape in shapes.items()}
    sizes = {name: 10.0 ** rng.uniform(-2, 1, shape) for name, shape in shapes.items()}
    return params, {n: sizes[n] * rng.standard_normal((BEFORE + AFTER, *s)) for n, s in shapes.items()}


def optimizers(case: Case, seed: int) -> tuple[dict[str, Any], dict[str, str]]:
    """Those of each framework after some steps, and why there is none of others."""
    params, grads = drawn(case, seed)
    found, reasons = {}, {}
    for framework, kind in OPTIMIZERS.items():
        try:
            optimizer = kind(case, params)
            optimizer.run({n: g[:BEFORE] for n, g in grads.items()})
            port.state(optimizer.source, to="lrtheory", steps=BEFORE)
        except port.PortError as error:
            reasons[framework] = str(error).removeprefix(
                "w, b: no rule of ours, so that nothing says what its state is: "
            )
            continue
        found[framework] = optimizer
    return found, reasons


@dataclasses.dataclass(frozen=True)
class Moved:
    """What came of moving a run.

    Attributes
    ----------
    bitwise : bool
        Whether its state is the same bit for bit when it has come back.
    off : float
        How far the next hundred steps end from the uninterrupted ones, over the reach of each coordinate.
    """

    bitwise: bool
    off: float


def moved(case: Case, seed: int = 0) -> tuple[dict[tuple[str, str], Moved], dict[str, str]]:
    """A run moved from each framework into each other, and why there is none of some."""
    found, reasons = optimizers(case, seed)
    _, grads = drawn(case, seed)
    after = {n: g[BEFORE:] for n, g in grads.items()}
    pairs = [(a, b) for a in found for b in found if a != b]
    there = {(a, b): port.state(found[a].source, to=found[b].target, steps=BEFORE) for a, b in pairs}
    kept = {name: optimizer.kept() for name, optimizer in found.items()}
    starts = {
        name: port.state(optimizer.source, to="lrtheory", steps=BEFORE).params for name, optimizer in found.items()
    }
    paths = {name: optimizer.run(after) for name, optimizer in found.items()}
    results = {}
    for a, b in pairs:
        target = found[b]
        target.load(there[a, b])
        back = port.state(target.source, to=found[a].target, steps=BEFORE)
        theirs = flat(back.state["state"] if a == "torch" else back.state)
        bitwise = all(
            x.dtype == y.dtype and np.array_equal(x, y)
            for x, y in zip(kept[a], theirs, strict=True)
            if not np.isnan(y.astype(float)).any()  # a slot that the other does not keep, and no step depends on
        )
        results[a, b] = Moved(bitwise, apart(paths[a], target.run(after), starts[a]))
    return results, reasons


def apart(path: Any, other: Any, start: Any) -> float:
    """Largest difference of a coordinate over its reach."""
    off = 0.0
    for name, p in path.items():
        reach = np.maximum(np.abs(p).max(0), np.abs(p - start[name]).max(0))
        off = max(off, float((np.abs(other[name] - p) / np.maximum(reach, 1e-300)).max()))
    return off


EPSILON = "Keras adds epsilon to √v before the correction of v; eps=0 can be ported"


def differs(case: Case, pair: tuple[str, str]) -> bool:
    """Whether the two are known to take other steps: Keras's epsilon."""
    rule, hyper = case.made
    return "keras" in pair and entry(keras.NAMES, rule).before_correction and bool(hyper.eps)


def row(case: Case, results: Mapping[tuple[str, str], Moved], reasons: Mapping[str, str]) -> tuple[str, ...]:
    """Of the table: the rule, each pair of frameworks, and why not."""

    def cell(a: str, b: str) -> str:
        if a in reasons or b in reasons or differs(case, (a, b)):
            return "–"
        there, back = ("bitwise" if results[pair].bitwise else "within the gate" for pair in ((a, b), (b, a)))
        return there if there == back else f"→ {there}, ← {back}"

    why = dict.fromkeys(reasons.values()) | ({EPSILON: None} if any(differs(case, pair) for pair in results) else {})
    return (case.label, *(cell(a, b) for a, b in PAIRS), "; ".join(why))


PAIRS = tuple((a, b) for i, a in enumerate(FRAMEWORKS) for b in FRAMEWORKS[i + 1 :])
