"""One law a rule: what loss scale and parameter scale do to its numbers, read from the units of its own program."""

from __future__ import annotations

from dataclasses import dataclass

from ...dims import Units
from ...rules import Rule, get
from ...wrappers import Wrapper, bare, clip_by_global_norm, clip_by_value
from ..law import Law, law
from .bitwise import BITS, another_power, from_units, left_alone, shows
from .subject import Subject, of_optax, of_rule

SETTING = (
    "Loss L'(θ') = α·L(θ'/c), started at c·θ₀; all numbers traced; no over- or underflow; schedules of lr are multiplied "
    "by the factor of lr. In mid-run the state is rescaled with the numbers."
)
SOURCE = "derived here: units inferred by lrtheory.dims from the program itself (docs/units.md), checked by running it"


@dataclass(frozen=True)
class Row:
    """A law by the rule it is about.

    ``units`` are those that the statement gives: of each number that is not pure, and of the state that must be
    rescaled in mid-run. A test holds them to what is inferred, and the check applies only what is inferred.
    """

    name: str
    title: str
    subject: Subject
    units: dict[str, str]
    scope: str = ""
    source: str = SOURCE


def _law(row: Row) -> Law:
    """The record of a row, with each of its numbers left alone, and lr or the first of them otherwise, as mutants."""
    formula = from_units(row.subject.dimensions)
    numbers = [name for name in row.units if name in row.subject.numbers]
    first = numbers[0]
    mutants = {f"{name} left as it was": left_alone(formula, name) for name in row.units}
    mutants[f"{first} times another α"] = another_power(formula, first, of="loss")
    mutants[f"{first} times another c"] = another_power(formula, first, of="params")
    return law(
        f"""bitwise scaling.{row.name}: {row.title}
        {statement({name: Units.parse(text) for name, text in row.units.items()})}
        scope: {row.subject.name}. {row.scope}{" " if row.scope else ""}{SETTING}
        source: {row.source}
        """,
        formula,
        mutants,
        why=BITS,
        x64=False,
    )(shows(row.subject))


def statement(units: dict[str, Units]) -> str:
    r"""LaTeX of a transform: ``\theta'_t = c\,\theta_t \iff lr \to lr\, c, \dots``."""
    escaped = {name.replace("_", r"\_"): latex(found) for name, found in units.items()}
    parts = [rf"{name} \to {name}{factor}" for name, factor in escaped.items()]
    return r"\theta'_t = c\,\theta_t \;\forall t \quad\text{with}\quad " + r",\; ".join(parts)


def latex(units: Units) -> str:
    """The factor of a quantity with those units, with the sign of a product before it."""

    def power(symbol: str, exponent: object) -> str:
        return symbol if exponent == 1 else f"{symbol}^{{{exponent}}}"

    factors = [power(s, e) for s, e in ((r"\alpha", units.loss), ("c", units.param)) if e > 0]
    divisors = [power(s, -e) for s, e in ((r"\alpha", units.loss), ("c", units.param)) if e < 0]
    above = r" \cdot " + r" \cdot ".join(factors) if factors else ""
    return above + "".join(f" / {divisor}" for divisor in divisors)


def _of_units(rule: Rule | Wrapper, state: tuple[str, ...]) -> dict[str, str]:
    """Declared units of the numbers that are not pure and of the named state: tests hold them to the inferred ones."""
    declared = {**_declared(rule)}
    defaults = bare(rule).array_rule.defaults
    return {
        name: text
        for name, text in declared.items()
        if not Units.parse(text).is_pure
        and (name in state or (name in rule.Hyper._fields and defaults.get(name, 0) is not None))
    }


def _declared(rule: Rule | Wrapper) -> dict[str, str]:
    if isinstance(rule, Wrapper):
        return {**_declared(rule.rule), **{name: number.units for name, number in rule.numbers.items()}}
    return dict(rule.array_rule.units)


def of(
    name: str, title: str, *state: str, options: dict[str, object] | None = None, rule: str = "", scope: str = "",
    shape: tuple[int, ...] = (4,), **numbers: float,
) -> Row:  # fmt: skip
    """The row of one of our rules; ``state`` names what must be rescaled in mid-run."""
    made = get(rule or name.replace("-", "_"))(**(options or {}))
    return Row(name, title, of_rule(made, shape, **numbers), _of_units(made, state), scope)


ROWS = (
    of("sgd", "SGD with momentum and dampening", "buffer", rule="sgd", dampening=0.4),
    of("nesterov", "SGD with Nesterov momentum", "buffer", rule="sgd", options={"nesterov": True}),
    of("asgd", "Averaged SGD", "eta", t0=3.0),
    of("adam", "Adam with coupled decay", "m", "v"),
    of("amsgrad", "AMSGrad", "m", "v", "v_max", rule="adam", options={"amsgrad": True}),
    of("adamw", "AdamW", "m", "v"),
    of("adamax", "Adamax", "m", "u"),
    of("nadam", "NAdam with coupled decay", "m", "v"),
    of("nadamw", "NAdam with decoupled decay", "m", "v", rule="nadam", options={"decoupled": True}),
    of("sparse-adam", "SparseAdam", "m", "v"),
    of("rmsprop", "RMSprop with momentum", "v"),
    of("rmsprop-centered", "Centered RMSprop", "v", "g_avg", rule="rmsprop", options={"centered": True}, alpha=0.9),
    of("adan", "Adan", "m", "v", "n", "g_last"),
    of("adabelief", "AdaBelief", "m", "v"),
    of("adagrad", "Adagrad", "sum"),
    of("adadelta", "Adadelta", "square_avg", "acc_delta"),
    of(
        "rprop",
        "Rprop",
        "step_size",
        eta_plus=4.0,
        eta_minus=0.1,
        scope="Invariant to α alone until g·g_prev underflows.",
    ),
    of("lion", "Lion", "m", scope="Invariant to α alone."),
    of("signsgd", "Sign descent", rule="signsgd", scope="Invariant to α alone."),
    of("signum", "Signum", "m", scope="Invariant to α alone."),
    of("lars", "LARS", "buffer", scope="lr is a pure number. Parameters and gradients of norm 0 excluded."),
    of("lamb", "LAMB", "m", "v", scope="lr is a pure number. Parameters of norm 0 excluded."),
    of(
        "adafactor",
        "Adafactor on vectors",
        "variance",
        rule="adafactor",
        options={"machine_eps": False},
        scope="lr is a pure number. Vectors, with eps1 given as a number.",
    ),
    of(
        "muon",
        "Muon",
        "buffer",
        shape=(3, 2),
        eps=30.0,
        scope="For other than powers of two only to the few per cent of Newton–Schulz in bfloat16.",
    ),
    of("schedule-free-sgd", "Schedule-free SGD", "z", "max_lr", "pull"),
    of("schedule-free-adamw", "Schedule-free AdamW", "v", "z", "max_lr", "pull", "decay_pull"),
    *(
        Row(name, title, of_rule(clip(inside)), _of_units(clip(inside), state))
        for inside, state in ((get("adam")(), ("rule.m", "rule.v")),)
        for name, title, clip in (
            ("clip-by-value", "Clipping by value, then Adam", clip_by_value),
            (
                "clip-by-global-norm",
                "Clipping by the global norm, then Adam",
                lambda rule: clip_by_global_norm(rule, homogeneous=True),
            ),
        )
    ),
    Row(
        "optax-rmsprop",
        "eps inside the square root: optax.rmsprop",
        of_optax("rmsprop", {"learning_rate": 0.01, "decay": 0.9, "eps": 0.3, "initial_scale": 0.1}),
        {
            "learning_rate": "[param]",
            "eps": "[loss]^2/[param]^2",
            "initial_scale": "[loss]^2/[param]^2",
            "0.nu": "[loss]^2/[param]^2",
        },
        "With eps_in_sqrt=True, its default.",
    ),
    Row(
        "optax-adagrad",
        "eps inside the square root: optax.adagrad",
        of_optax("adagrad", {"learning_rate": 0.01, "initial_accumulator_value": 0.1, "eps": 0.3}),
        {
            "learning_rate": "[param]",
            "initial_accumulator_value": "[loss]^2/[param]^2",
            "eps": "[loss]^2/[param]^2",
            "0.sum_of_squares": "[loss]^2/[param]^2",
        },
    ),
    Row(
        "optax-novograd",
        "NovoGrad: optax.novograd",
        of_optax("novograd", {"learning_rate": 0.01, "eps": 0.3, "eps_root": 0.1, "weight_decay": 0.01}),
        {
            "learning_rate": "[param]",
            "eps": "[loss]/[param]",
            "eps_root": "[loss]^2/[param]^2",
            "weight_decay": "1/[param]",
            "0.nu": "[loss]^2/[param]^2",
        },
    ),
    Row(
        "optax-sm3",
        "SM3: optax.scale_by_sm3",
        of_optax("scale_by_sm3", {"lr": 0.01, "b1": 0.9, "eps": 0.3}, shape=(3, 2), b2=0.9),
        {
            "lr": "[param]",
            "eps": "[loss]^2/[param]^2",
            "0.mu.w.0": "[loss]^2/[param]^2",
            "0.mu.w.1": "[loss]^2/[param]^2",
        },
        "With scale_by_sm3's eps, which stands inside the root. optax.sm3 fixes it at 1e-8 and has no law: the nearest is "
        "chain(scale_by_sm3(b1, b2, eps·γ²), scale_by_learning_rate(lr·c)), γ = α/c.",
    ),
)

LAWS = tuple(_law(row) for row in ROWS)
