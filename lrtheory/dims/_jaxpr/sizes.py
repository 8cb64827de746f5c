"""How large a value is at some lines of a program, from running it once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import Literal

from ...compiling import known_options
from .._kernel.equations import Origin
from .source import EquationOrigin, origin_inside
from .walk import called_body, closed_body, scan_counts

Targets = dict[EquationOrigin, float]
Seen = dict[EquationOrigin, list[Any]]


def sizes_of(
    closed: Any, wanted: Mapping[Origin, float], inputs: Sequence[Any]
) -> Mapping[Origin, tuple[float, float]]:
    """For each line, given its bare number, the smallest and the median entry of what stands beside it, in size.

    Lines in the body of a ``while`` or of a branch are left out.
    """
    targets = {origin: bare for origin, bare in wanted.items() if isinstance(origin, EquationOrigin)}

    def run(*arguments: Any) -> dict[str, list[Any]]:
        seen: Seen = {}
        _run(closed, arguments, targets, seen, None)
        return {str(at): seen[origin] for at, origin in enumerate(order) if origin in seen}

    order = list(targets)
    found = jax.jit(run, compiler_options=known_options())(*inputs)
    return {
        order[int(at)]: (min(float(np.min(s)) for s, _ in each), float(np.median([np.median(m) for _, m in each])))
        for at, each in found.items()
    }


def coarsest(jaxpr: Any) -> float:
    """The spacing at 1 of the coarsest floats that a program computes with."""
    dtypes = {v.aval.dtype for eqn in jaxpr.eqns for v in eqn.outvars if hasattr(v.aval, "dtype")}
    bodies = [getattr(b, "jaxpr", b) for eqn in jaxpr.eqns for p in eqn.params.values()
              for b in (p if isinstance(p, tuple) else (p,)) if hasattr(b, "eqns")]  # fmt: skip
    own = [float(jnp.finfo(dtype).eps) for dtype in dtypes if jnp.issubdtype(dtype, jnp.floating)]
    return max([*own, *map(coarsest, bodies)], default=0.0)


def _run(closed: Any, arguments: Sequence[Any], targets: Targets, seen: Seen, call: Origin | None) -> list[Any]:
    """Evaluate a jaxpr as it is, and note what is wanted."""
    jaxpr = closed.jaxpr
    env: dict[Any, Any] = dict(zip(jaxpr.constvars, closed.consts, strict=True))
    env.update(zip(jaxpr.invars, arguments, strict=True))

    def read(atom: Any) -> Any:
        return atom.val if isinstance(atom, Literal) else env[atom]

    for eqn in jaxpr.eqns:
        operands = [read(atom) for atom in eqn.invars]
        origin, name = EquationOrigin(eqn, call), eqn.primitive.name
        if origin in targets:
            seen.setdefault(origin, []).append(_size(operands, targets[origin]))
        body = called_body(eqn)
        if body is not None:
            results = _run(body, operands, targets, seen, origin_inside(call, origin, body.jaxpr))
        elif name == "scan":
            results = _scan(eqn, operands, targets, seen, call, origin)
        else:
            results = eqn.primitive.bind(*operands, **eqn.primitive.get_bind_params(eqn.params))
            results = results if eqn.primitive.multiple_results else [results]
        env.update(zip(eqn.outvars, results, strict=True))
    return [read(atom) for atom in jaxpr.outvars]


def _scan(eqn: Any, operands: list[Any], targets: Targets, seen: Seen, call: Origin | None, at: Origin) -> list[Any]:
    body = closed_body(eqn.params["jaxpr"])
    consts, carries = scan_counts(eqn)
    kept = consts + carries
    fixed, order = operands[:consts], list(targets)

    def turn(carry: list[Any], slices: list[Any]) -> tuple[list[Any], Any]:
        inner: Seen = {}
        results = _run(body, [*fixed, *carry, *slices], targets, inner, origin_inside(call, at, body.jaxpr))
        return results[:carries], (results[carries:], {str(i): inner[o] for i, o in enumerate(order) if o in inner})

    last, (stacked, found) = jax.lax.scan(
        turn, operands[consts:kept], operands[kept:], length=eqn.params["length"], reverse=eqn.params["reverse"]
    )
    for i, each in found.items():
        seen.setdefault(order[int(i)], []).extend(each)
    return [*last, *stacked]


def _size(operands: list[Any], bare: float) -> tuple[Any, Any]:
    """Smallest and median size of the operand that is no bare number."""
    first, *rest = sorted((jnp.abs(jnp.asarray(x, jnp.float32)).ravel() for x in operands), key=lambda x: -x.size)
    if rest and rest[0].size == first.size:
        first = jnp.where(jnp.all(jnp.abs(first - bare) <= 1e-3 * bare), rest[0], first)
    return jnp.min(first), jnp.median(first)
