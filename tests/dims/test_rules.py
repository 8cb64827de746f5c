"""Every rule and every set of its options: what is inferred against what is declared, written down, and measured."""

from __future__ import annotations

import functools
import inspect
import re

import pytest
from drawn import every_rule

from lrtheory import dims, rules
from lrtheory.dims import Units

from .running import SHAPES, Runnable, assert_law_is_bitwise, distance, of_rule

RULES = every_rule()
# maximize negates the gradient, which no unit sees: the numbers are run without it.
DISTINCT = [rule for rule in RULES if not rule.options.get("maximize")]
# One set of options a rule in every run, all of them in a deep one.
NUMERIC = [
    pytest.param(rule, marks=[] if first else pytest.mark.deep, id=repr(rule))
    for rule in DISTINCT
    for first in [rule is next(r for r in DISTINCT if r.name == rule.name)]
]
named = pytest.mark.parametrize("rule", RULES, ids=repr)

# Where no law of constant numbers can hold.
BROKEN = {"radam", "adafactor"}
# Rules that protect a ratio of norms: no law where a norm is 0.
GUARDED = {"lars", "lamb"}

# The transforms of theory: what numbers become under loss ×α and parameters ×c. A pure number is left out.
LAWS = {
    "sgd": {"lr": "[param]^2/[loss]", "weight_decay": "[loss]/[param]^2"},
    "asgd": {"lr": "[param]^2/[loss]", "lambd": "[loss]/[param]^2", "weight_decay": "[loss]/[param]^2"},
    "adam": {"lr": "[param]", "eps": "[loss]/[param]", "weight_decay": "[loss]/[param]^2"},
    "adam(decoupled=True)": {"lr": "[param]", "eps": "[loss]/[param]", "weight_decay": "1/[param]"},
    "adamax": {"lr": "[param]", "eps": "[loss]/[param]", "weight_decay": "[loss]/[param]^2"},
    "nadam": {"lr": "[param]", "eps": "[loss]/[param]", "weight_decay": "[loss]/[param]^2"},
    "nadam(decoupled=True)": {"lr": "[param]", "eps": "[loss]/[param]", "weight_decay": "1/[param]"},
    "rmsprop": {"lr": "[param]", "eps": "[loss]/[param]", "weight_decay": "[loss]/[param]^2"},
    "adagrad": {"lr": "[param]", "eps": "[loss]/[param]", "weight_decay": "[loss]/[param]^2",
                "initial_accumulator_value": "[loss]^2/[param]^2"},
    "adadelta": {"lr": "[param]^2/[loss]", "eps": "[loss]^2/[param]^2", "weight_decay": "[loss]/[param]^2"},
    "adabelief": {"lr": "[param]", "eps": "[loss]/[param]", "eps_root": "[loss]^2/[param]^2"},
    "adan": {"lr": "[param]", "eps": "[loss]/[param]", "eps_root": "[loss]^2/[param]^2", "weight_decay": "1/[param]"},
    "sparse_adam": {"lr": "[param]", "eps": "[loss]/[param]"},
    "lion": {"lr": "[param]", "weight_decay": "1/[param]"},
    "signsgd": {"lr": "[param]", "weight_decay": "1/[param]"},
    "signum": {"lr": "[param]", "weight_decay": "1/[param]"},
    "lars": {"weight_decay": "[loss]/[param]^2", "eps": "[loss]/[param]"},
    "lamb": {"weight_decay": "1/[param]", "eps": "[loss]/[param]", "eps_root": "[loss]^2/[param]^2"},
    "muon": {"lr": "[param]", "weight_decay": "1/[param]", "eps": "[loss]/[param]"},
    "rprop": {"lr": "[param]", "step_size_min": "[param]", "step_size_max": "[param]"},
}  # fmt: skip


@functools.cache
def inferred(rule: rules.Rule) -> dims.Dimensions:
    """What is inferred, once for all tests: it is the same whatever asks."""
    return dims.infer(rule, judge=False)


def lawful(rule: rules.Rule) -> dims.Dimensions:
    """What is inferred in the form that has a law: Adafactor's vectors."""
    return dims.infer(rule, shapes={"vector": (8,)}, judge=False) if rule.name == "adafactor" else inferred(rule)


def compared(found: dims.Dimensions, name: str) -> bool:
    """Whether only one units will do; a broken program leaves out demands, and its literals count as pure."""
    return name not in found.free and name not in found.ties and name != "floor"


@named
def test_rule_declares_what_is_inferred(rule):
    found = lawful(rule)
    declared = rule.units
    for name, units in {**found.hyper, **found.state}.items():
        if compared(found, name):
            assert units == declared[name], f"{rule!r}: {name} is inferred in {units} but declared in {declared[name]}"
    for name in rule.Hyper._fields:
        assert name in found.hyper or rule.array_rule.defaults.get(name, 0) is None


@named
def test_rule_verdict(rule):
    found = inferred(rule)
    expected = "broken" if rule.name in BROKEN else "guarded" if rule.name in GUARDED else "proven"
    assert found.status == expected, found.verdict


def test_adafactor_has_a_law_for_vectors_alone():
    """Its matrices are clamped with eps1 and with eps1²."""
    rule = rules.get("adafactor")(machine_eps=False)
    assert dims.infer(rule, shapes={"vector": (8,)}).status == "proven"
    (broken,) = dims.infer(rule).breaks
    assert broken.location is not None
    assert "maximum" in broken.location.source


def test_adafactor_with_machine_eps_has_none():
    """It then clamps with a number that nobody can rescale."""
    rule = rules.get("adafactor")(machine_eps=True)
    (broken,) = dims.infer(rule, shapes={"vector": (8,)}).breaks
    assert broken.location is not None
    assert "jnp.finfo" in broken.location.source


def test_radam_breaks_where_its_branches_meet():
    found = dims.infer(rules.get("radam")())
    (broken,) = found.breaks
    assert broken.location is not None
    assert "where" in broken.location.source
    assert "chooses between" in broken.statement
    assert found.verdict.startswith("broken at ")
    # Each branch alone has its law: the two differ by the units of a gradient, which a common scale leaves alone.
    assert found.survives == "loss ×k with params ×k"


@pytest.mark.parametrize("name", LAWS)
def test_rule_obeys_the_law_in_the_books(name):
    base, _, options = name.partition("(")
    rule = rules.get(base)(**({"decoupled": True} if options else {}))
    found = inferred(rule)
    expected = {n: Units.parse(text) for n, text in LAWS[name].items()}
    assert {n: u for n, u in found.hyper.items() if not u.is_pure} == expected


# --- the units column of every docstring ---

LINE = re.compile(r"^(\w+(?:, \w+)*) : scalar(?: in [\[(][^\])]*[\])])?, (.+)$")


def documented(rule: rules.Rule) -> dict[str, str]:
    """Units by name from the Parameters section; ``A coupled, B decoupled`` is read by the rule's option."""
    text = inspect.getdoc(rules.get(rule.name)) or ""
    section = text.split("Parameters\n----------\n")[1].split("\n\nReturns")[0]
    found = {}
    for line in section.splitlines():
        match = LINE.match(line)
        if match is None:
            continue
        names, units = match.groups()
        for alternative in units.split(", "):
            value, _, condition = alternative.partition(" ")
            if condition in ("", "decoupled" if rule.options.get("decoupled") else "coupled"):
                found.update(dict.fromkeys(names.split(", "), value))
    return found


@named
def test_docstring_states_the_units_inferred(rule):
    found = lawful(rule)
    stated = documented(rule)
    assert set(found.hyper) <= set(stated), "a number without units in the docstring"
    for name, units in found.hyper.items():
        if compared(found, name):
            assert units == Units.parse(stated[name]), (
                f"{rule!r}: {name} is in {units}, its docstring says {stated[name]}"
            )


def test_documented_sees_a_wrong_column():
    rule = rules.get("adam")(decoupled=True)
    assert documented(rule)["weight_decay"] == "1/[param]"
    assert documented(rules.get("adam")())["weight_decay"] == "[loss]/[param]^2"
    assert documented(rule)["eps"] == "[loss]/[param]"


# --- against numbers, which know nothing of units ---

# Numbers that are 0 by default are switched on, so that a wrong exponent shows.
SWITCHED_ON = {
    "weight_decay": 0.01,
    "momentum": 0.9,
    "dampening": 0.0,
    "initial_accumulator_value": 0.1,
    "lr_decay": 0.1,
}


def switched_on(rule: rules.Rule) -> dict[str, float]:
    defaults = {**rule.Hyper._field_defaults, **rule.array_rule.defaults}
    # eps is made large, or a wrong exponent would be lost in rounding
    return {n: v for n, v in {**SWITCHED_ON, "eps": 0.5}.items() if defaults.get(n) is not None}


@functools.cache
def prepared(rule: rules.Rule) -> tuple[dims.Dimensions, Runnable]:
    """Inferred and ready to run: compiled once for both tests below."""
    shapes = {"matrix": (4, 3)} if rule.name == "muon" else SHAPES
    return inferred(rule), of_rule(rule, switched_on(rule), shapes=shapes)


@pytest.mark.parametrize("rule", NUMERIC)
def test_proven_rule_is_bitwise_equal_after_rescaling(rule):
    found, run = prepared(rule)
    if found.status == "broken":
        return  # test_rule_verdict says which these are
    for loss, params in ((16.0, 1.0), (1.0, 0.25), (0.25, 64.0)):
        assert_law_is_bitwise(run, found, loss, params)


@pytest.mark.parametrize("rule", NUMERIC)
def test_wrong_units_of_any_number_are_seen_in_the_numbers(rule):
    """The check above is not vacuous: another exponent on any number that matters changes the trajectory."""
    found, run = prepared(rule)
    for name in found.hyper:
        if name in ("lr", "eps", "weight_decay") and run.numbers[name]:
            wrong = {**found.hyper, name: found.hyper[name].times(dims.LOSS)}
            assert distance(run, _with_hyper(found, wrong), 16.0, 1.0) > 1e-6, f"{rule!r}: {name}"


def _with_hyper(found: dims.Dimensions, hyper: dict[str, Units]) -> dims.Dimensions:
    return dims.Dimensions(found.target, hyper=hyper, state=found.state)


def test_radam_fails_in_numbers_with_either_law():
    rule = rules.get("radam")()
    found = dims.infer(rule, judge=False)
    run = of_rule(rule, {"eps": 0.5})
    for text in ("[param]", "[param]^2/[loss]"):
        either = _with_hyper(found, {**found.hyper, "lr": Units.parse(text)})
        assert distance(run, either, 16.0, 1.0) > 1e-3
    assert_law_is_bitwise(run, found, 16.0, 16.0)
