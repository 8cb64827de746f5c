"""The walk over a jaxpr: values in, values out, demands in the ledger."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax.extend.core import ClosedJaxpr, Literal

from .._kernel.equations import Origin, UnknownOperationError
from .._kernel.ledger import Ledger
from .._kernel.value import PURE_VALUE, Deferred, Value, number
from .operations import Site, Values
from .primitives import ENTRY_BY_ENTRY, TABLE, folded
from .source import EquationOrigin, origin_inside


def walk(ledger: Ledger, closed: Any, values: Values, call: Origin | None = None) -> list[Value]:
    """Values of the results of a closed jaxpr for those of its inputs.

    ``call`` stands for all lines inside where the body is not the user's own.
    """
    jaxpr, constants = closed.jaxpr, closed.consts
    env: dict[Any, Value] = dict(zip(jaxpr.constvars, map(known_array, constants), strict=True))
    env.update(zip(jaxpr.invars, values, strict=True))

    def read(atom: Any) -> Value:
        return known_array(atom.val) if isinstance(atom, Literal) else env[atom]

    for eqn in _needed(jaxpr):
        site = Site(ledger, EquationOrigin(eqn, call), len(eqn.invars) == 2 and eqn.invars[0] is eqn.invars[1], eqn)
        operands = [read(atom) for atom in eqn.invars]
        results = _apply(site, operands, call)
        handed_on = _deferred(site, operands)
        for position, (var, value) in enumerate(zip(eqn.outvars, results, strict=True)):
            identity = _identity(site, operands, position) if value.identity is None else value.identity
            if getattr(var.aval, "size", 0) == 1:
                ledger.uniform.add(identity)
            deferred = value.deferred if handed_on is None else handed_on
            complex_ = getattr(getattr(var.aval, "dtype", None), "kind", "") == "c"
            known = value.but(nonnegative=False) if complex_ else value
            env[var] = known.but(origin=site.at, identity=identity, deferred=deferred)
    return [read(atom) for atom in jaxpr.outvars]


def _identity(site: Site, operands: Values, position: int) -> object:
    """The same for the same primitive of the same operands."""
    known = tuple(v.identity for v in operands)
    if None in known or site.eqn.primitive.name in BODIES:
        return object()
    return site.ledger.identity((site.eqn.primitive.name, position, known, tuple(site.params.items())))


def _deferred(site: Site, operands: Values) -> tuple[Deferred, ...] | None:
    """What the operands of a plain primitive hand on; choices and bodies see to it themselves.

    Where entries are mixed or change places, a choice made entry by entry is not the same one afterwards.
    """
    primitive = site.eqn.primitive.name
    if primitive == "select_n" or primitive in BODIES:
        return None
    carried = tuple(dict.fromkeys(d for v in operands for d in v.deferred))
    if not carried or primitive in ENTRY_BY_ENTRY:
        return carried
    for deferred in carried:
        if not deferred.uniform:
            site.ledger.demand(*deferred.demand)
    return tuple(d for d in carried if d.uniform)


def _needed(jaxpr: Any) -> list[Any]:
    """The equations that results depend on: a value nobody uses makes no demands."""
    wanted = {atom for atom in jaxpr.outvars if not isinstance(atom, Literal)}
    needed = []
    for eqn in reversed(jaxpr.eqns):
        if any(var in wanted for var in eqn.outvars):
            needed.append(eqn)
            wanted.update(atom for atom in eqn.invars if not isinstance(atom, Literal))
    return needed[::-1]


def _apply(site: Site, operands: list[Value], call: Origin | None) -> Sequence[Value]:
    name = site.eqn.primitive.name
    if name in BODIES:
        return BODIES[name](site, operands, call)
    site.ledger.read.update(v.name for v in operands)
    known = folded(site, operands)
    if known is not None:
        return [known]
    rule = TABLE.get(name)
    if rule is None:
        if not any(_is_real(v.aval) for v in (*site.eqn.invars, *site.eqn.outvars)):
            return [PURE_VALUE for _ in site.eqn.outvars]  # integers, truth values and keys are pure numbers
        if not site.ledger.lenient:
            raise UnknownOperationError("primitive", name, site.at.location())
        return [strange(site.ledger, name, site.at, operands) for _ in site.eqn.outvars]
    results = rule(site, operands)
    return [results] if isinstance(results, Value) else results


def strange(ledger: Ledger, name: str, at: Origin, operands: Values) -> Value:
    """What an operation that no table has makes of pure numbers: where its operands do not change, it does not either."""
    for value in operands:
        if value.units is not None and value.units.terms:
            ledger.strange[name, at] = None
            ledger.pure(value, f"hands to {name}, which has no rule,", at)
    return PURE_VALUE.but(measured=any(v.measured for v in operands))


def _is_real(aval: Any) -> bool:
    dtype = getattr(aval, "dtype", None)
    return dtype is None or jax.numpy.issubdtype(dtype, np.inexact)


def known_array(value: Any) -> Value:
    """A constant of the program: a bare number where all entries agree, a pure array otherwise."""
    dtype = getattr(value, "dtype", np.asarray(value).dtype)
    if not (jax.numpy.issubdtype(dtype, np.number) or jax.numpy.issubdtype(dtype, np.bool_)):
        return PURE_VALUE  # a key
    if jax.numpy.issubdtype(dtype, np.complexfloating):
        return number(0.0) if not np.any(np.asarray(value)) else PURE_VALUE
    array = np.asarray(value, dtype=np.float64)
    if array.size == 0:
        return number(0.0)
    first = array.flat[0]
    if array.size == 1 or np.all(array == first):
        return number(first)
    return PURE_VALUE.but(nonnegative=bool(np.all(array >= 0)))


# --- primitives with a body ---

Body = Callable[[Site, list[Value], Origin | None], Sequence[Value]]


def closed_body(jaxpr: Any) -> Any:
    """A jaxpr with its constants."""
    return jaxpr if hasattr(jaxpr, "consts") else ClosedJaxpr(jaxpr, ())


def _inside(site: Site, body: Any, values: Values, call: Origin | None) -> list[Value]:
    body = closed_body(body)
    return walk(site.ledger, body, values, origin_inside(call, site.at, body.jaxpr))


def inline(name: str) -> Body:
    """A call: its body stands in its place."""

    def rule(site: Site, operands: list[Value], call: Origin | None) -> list[Value]:
        return _inside(site, site.params[name], operands, call)

    return rule


def _rank(x: Any) -> int:
    return len(getattr(x, "aval", x).shape)


def _settle(site: Site, operands: Values) -> None:
    for value in operands:
        site.ledger.settle(value)


def cond(site: Site, operands: list[Value], call: Origin | None) -> list[Value]:
    """All branches give results of one unit, unless a branch is only taken for degenerate input."""
    _settle(site, operands)
    index, *arguments = operands
    branches = site.params["branches"]
    if index.constant is not None:
        return _inside(site, branches[min(max(int(index.constant), 0), len(branches) - 1)], arguments, call)
    outcomes = [_inside(site, branch, arguments, call) for branch in branches]
    results = []
    for cases in zip(*outcomes, strict=True):
        _settle(site, cases)
        site.ledger.read.update(v.name for v in cases)
        if len(cases) == 2:
            chosen = site.ledger.choice(index, cases[0], cases[1], "chooses a branch between", site.at)
            _settle(site, [chosen])
        else:
            chosen = Value(site.ledger.same(cases, "chooses a branch between", site.at))
        constants = {v.constant for v in cases}
        results.append(
            chosen.but(
                constant=constants.pop() if len(constants) == 1 else None,
                nonnegative=all(v.nonnegative for v in cases),
                measured=index.measured or any(v.measured for v in cases),
                deferred=(),
            )
        )
    return results


def _carried(site: Site, initial: Values, avals: Values, what: str) -> list[Value]:
    """One unknown for each real number that a loop carries; it has the units that the loop starts with."""
    measured = any(v.measured for v in initial)
    carry = []
    for position, (value, aval) in enumerate(zip(initial, avals, strict=True)):
        if not _is_real(aval):
            carry.append(PURE_VALUE.but(measured=value.measured))
            continue
        site.ledger.read.add(value.name)
        unknown = Value(site.ledger.unknown(f"<{what} {position}>"), measured=measured)
        site.ledger.same([unknown, value], "starts a loop with", site.at)
        carry.append(unknown)
    return carry


def _hand_on(site: Site, carry: Values, new: Values) -> None:
    for before, after in zip(carry, new, strict=True):
        site.ledger.read.add(after.name)
        site.ledger.same([before, after], "hands on in a loop", after.origin or site.at)


def scan_counts(eqn: Any) -> tuple[int, int]:
    """How many operands of a scan are the same in every turn, and how many it carries.

    What a turn takes and gives has one axis less where it is a slice. jax's own counts differ between versions.
    """
    body = closed_body(eqn.params["jaxpr"])
    carries = sum(_rank(v) == _rank(a) for v, a in zip(eqn.outvars, body.out_avals, strict=True))
    return sum(_rank(v) == _rank(a) for v, a in zip(eqn.invars, body.in_avals, strict=True)) - carries, carries


def scan(site: Site, operands: list[Value], call: Origin | None) -> list[Value]:
    """A loop over slices: what is carried keeps its units from turn to turn."""
    _settle(site, operands)
    body = site.params["jaxpr"]
    consts, carries = scan_counts(site.eqn)
    kept = consts + carries
    fixed, initial, slices = operands[:consts], operands[consts:kept], operands[kept:]
    carry = _carried(site, initial, closed_body(body).in_avals[consts:kept], "carried by scan")
    results = _inside(site, body, [*fixed, *carry, *slices], call)
    _settle(site, results)
    _hand_on(site, carry, results[:carries])
    return [*carry, *(v.but(deferred=(), identity=None) for v in results[carries:])]


def while_loop(site: Site, operands: list[Value], call: Origin | None) -> list[Value]:
    """A loop until a condition: what is carried keeps its units from turn to turn."""
    _settle(site, operands)
    for_condition, for_body = site.params["cond_nconsts"], site.params["body_nconsts"]
    initial = operands[for_condition + for_body :]
    body = site.params["body_jaxpr"]
    carry = _carried(site, initial, body.in_avals[for_body:], "carried by while")
    _settle(site, _inside(site, site.params["cond_jaxpr"], [*operands[:for_condition], *carry], call))
    results = _inside(site, body, [*operands[for_condition : for_condition + for_body], *carry], call)
    _settle(site, results)
    _hand_on(site, carry, results)
    return carry


_CALLS = {
    **dict.fromkeys(("jit", "pjit", "remat2", "checkpoint"), "jaxpr"),
    **dict.fromkeys(("closed_call", "core_call", "call", "custom_jvp_call", "custom_vjp_call", "custom_vjp_call_jaxpr"),
                    "call_jaxpr"),
}  # fmt: skip
BODIES: dict[str, Body] = {
    **{name: inline(body) for name, body in _CALLS.items()},
    "cond": cond,
    "scan": scan,
    "while": while_loop,
}


def called_body(eqn: Any) -> Any:
    """The body that a call stands for; ``None`` for what is no call."""
    body = _CALLS.get(eqn.primitive.name)
    return closed_body(eqn.params[body]) if body is not None else None
