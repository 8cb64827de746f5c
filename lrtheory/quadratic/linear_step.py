r"""A rule's step on a quadratic as a linear map, read from the rule's own code.

On :math:`L = \tfrac12 h\,p^2` with gradient :math:`g = h\,p + n` a linear rule takes the parameter and what it
remembers, :math:`z = (p, \text{memory})`, to

.. math:: z' = M z + N g = A(h)\,z + N n, \qquad A(h) = M + h\,N e_p^\top .

M and N are the Jacobian of ``Rule.step`` at rest, so that theory speaks of the very code that people run. Nothing is
approximated for SGD, whose step is linear. Adam and its kin divide by the size of the gradient; at rest the derivative
of that size is zero, and the Jacobian is the step with a *frozen preconditioner* D: Adam's √v̂ + eps held constant.

A quadratic of many dimensions falls apart into such maps, one for each eigenvalue of its Hessian (for a frozen
diagonal preconditioner: of :math:`D^{-1/2} H D^{-1/2}`).
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax

from ..rules import Rule
from ..wrappers.averaging import Averaged

_LONG_AFTER = 2**30  # steps taken when nothing that forgets its start remembers it


class LinearStep(NamedTuple):
    """``z' = M z + N g``; z[0] is the parameter, the rest is the rule's memory.

    Attributes
    ----------
    M : array (..., k, k)
    N : array (..., k)
    """

    M: Array
    N: Array

    def transition(self, curvature: Any) -> Array:
        """``A(h) = M + h N e_p'``, (..., k, k) for curvatures (...)."""
        first = jnp.zeros(self.M.shape[-1], self.M.dtype).at[0].set(1)
        return self.M + jnp.asarray(curvature)[..., None, None] * self.N[..., :, None] * first


def memory(rule: Rule | Averaged) -> tuple[str, ...]:
    """Names of the coordinates after the parameter.

    Raises
    ------
    ValueError
        For a rule whose step is not linear, with the reason.
    """
    if isinstance(rule, Averaged):
        return (*memory(_plain(rule.rule)), "average")
    if not isinstance(rule, Rule):
        raise TypeError(f"{rule!r} has no linear step: a rule of lrtheory.rules is needed, or average_weights of one")
    found = rule.facts.memory
    if isinstance(found, str):
        raise ValueError(
            f"{rule!r} has no linear step: {found}. There is one for sgd, and for rules that divide each "
            "coordinate by an average size of its gradients, such as rmsprop, adagrad and adam"
        )
    return found


@functools.partial(jax.jit, static_argnames="rule")
def linear_step(rule: Rule | Averaged, hyper: Any, preconditioner: Any = 1.0) -> LinearStep:
    """The step of a run long under way: bias corrections gone, NAdam's momentum risen, no first gradient.

    Parameters
    ----------
    rule : one with a linear step, or ``average_weights`` of one
    hyper : its numbers; ``jax.vmap`` over them for many
    preconditioner : scalar, [loss]/[param]
        What a preconditioned rule divides by, in place of its √v̂ + eps: at 1 curvature is that of the
        preconditioned loss. Other rules have none.

    Returns
    -------
    LinearStep
        In jax's default float dtype: use ``jax.enable_x64`` for digits.

    Examples
    --------
    >>> from lrtheory import rules
    >>> heavy_ball = rules.sgd()
    >>> step = linear_step(heavy_ball, heavy_ball.hyper(lr=0.5, momentum=0.5))
    >>> step.transition(2.0).tolist()
    [[0.0, -0.25], [2.0, 0.5]]
    """
    return _jacobian(rule, _frozen(rule, hyper, preconditioner), _settled(rule))


@functools.partial(jax.jit, static_argnames="rule")
def linear_steps(rule: Rule | Averaged, hyper: Any, preconditioner: Any = 1.0) -> LinearStep:
    """The first T steps of a run one by one: its first gradient, bias corrections, momentum and lr schedules.

    Parameters
    ----------
    hyper : numbers with a leading axis T in at least one field
        The numbers in force at each step; those without the axis stay.

    Returns
    -------
    LinearStep
        With leading axis T.
    """
    lengths = {jnp.shape(x)[0] for x in jax.tree.leaves(hyper) if jnp.ndim(x)}
    if len(lengths) != 1:
        raise ValueError(f"{rule!r}: numbers for T steps need one leading axis T, but theirs have lengths {lengths}")
    (length,) = lengths
    hypers = jax.tree.map(lambda x: jnp.broadcast_to(jnp.asarray(x, float), (length,)), hyper)

    def one(state: Any, h: Any) -> tuple[Any, LinearStep]:
        h = _frozen(rule, h, preconditioner)
        zero = jnp.zeros(())
        _, after = rule.step(h, zero, state, zero)
        return _hold(rule, after), _jacobian(rule, h, state)

    return lax.scan(one, _hold(rule, rule.init(jnp.zeros(()))), hypers)[1]


def spectral_radius(transition: Array) -> Array:
    """Largest modulus of an eigenvalue of (..., k, k): a run shrinks by this factor a step in the long run.

    Eigenvalues of a matrix without symmetry are found on CPU.
    """
    return jnp.abs(jnp.linalg.eigvals(transition)).max(axis=-1)


@jax.jit
def critical_curvature(step: LinearStep, scale: Any) -> Array:
    """The smallest curvature at which the spectral radius reaches 1, found by looking: no closed form enters.

    Parameters
    ----------
    scale : scalar, [loss]/[param]²
        An order of magnitude such as 1/lr: 512 curvatures from 10⁻² to 10⁴ times it are looked at, and the first
        interval in which the radius passes 1 is halved to the last digit. nan where there is none.
    """
    radius = lambda h: spectral_radius(step.transition(h))  # noqa: E731
    grid = scale * jnp.logspace(-2, 4, 512)
    beyond = radius(grid) > 1
    at = jnp.argmax(beyond)

    def halve(_: Any, ends: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = ends
        middle = 0.5 * (low + high)
        out = radius(middle) > 1
        return jnp.where(out, low, middle), jnp.where(out, middle, high)

    high = lax.fori_loop(0, 52, halve, (grid[at - 1], grid[at]))[1]
    return jnp.where(beyond.any() & (at > 0), high, jnp.nan)


def delayed(step: LinearStep, delay: int) -> LinearStep:
    """The step with the gradient at the parameters of ``delay`` steps ago, which join z at its end, newest first.

    For the result, curvature acts on the oldest parameter: the map is returned with that coordinate in the first place
    of the gradient, ``z = (p_{t−d}, …)`` reordered so that :meth:`LinearStep.transition` holds as it stands.
    """
    if delay == 0:
        return step
    k = step.M.shape[-1]
    # z = (p_{t-d}, p_{t-d+1}, ..., p_{t-1}, p_t, memory_t)
    size = k + delay
    M = jnp.zeros((size, size), step.M.dtype)
    M = M.at[jnp.arange(delay), jnp.arange(1, delay + 1)].set(1)
    M = M.at[delay:, delay:].set(step.M)
    return LinearStep(M, jnp.zeros(size, step.N.dtype).at[delay:].set(step.N))


def _plain(rule: Any) -> Rule:
    if not isinstance(rule, Rule):
        raise TypeError(f"{rule!r} inside average_weights is no plain rule")
    return rule


def _jacobian(rule: Rule | Averaged, hyper: Any, state: Any) -> LinearStep:
    names = memory(rule)

    def step(z: Array, g: Array) -> Array:
        p, after = rule.step(hyper, z[0], _write(rule, names, state, z[1:]), g)
        return jnp.stack([p, *_read(rule, names, after)])

    rest = jnp.zeros(1 + len(names))
    M, N = jax.jacfwd(step, argnums=(0, 1))(rest, jnp.zeros(()))
    # Without momentum a buffer is kept and never used: it stays at 0, and is no mode of the run.
    kept = jnp.eye(len(rest)) == M
    idle = (kept.all(axis=0) & kept.all(axis=1) & (N == 0)).at[0].set(False)
    return LinearStep(jnp.where(idle[:, None], 0, M), N)


def _frozen(rule: Rule | Averaged, hyper: Any, preconditioner: Any) -> Any:
    if isinstance(rule, Averaged):
        inner = _frozen(rule.rule, rule.inner(hyper), preconditioner)  # type: ignore[arg-type]
        return type(hyper)(*inner, *hyper[len(inner) :])
    if not rule.facts.sizes:
        return hyper
    none = {name: 0.0 for name in ("eps_root",) if name in hyper._fields}
    start = {name: _smallest() for name in ("initial_accumulator_value",) if name in hyper._fields}
    return hyper._replace(eps=preconditioner, **none, **start)


def _smallest() -> Array:
    """The size of gradients at rest, next to nothing: at 0 its root would have no derivative."""
    dtype = jnp.zeros(()).dtype
    return jnp.asarray(16 * jnp.finfo(dtype).tiny, dtype)


def _hold(rule: Rule | Averaged, state: Any) -> Any:
    """The state at rest, with the sizes of gradients held."""
    if isinstance(rule, Averaged):
        return state._replace(rule=_hold(rule.rule, state.rule))  # type: ignore[arg-type]
    held = [name for name in rule.facts.sizes if getattr(state, name) is not None]
    return state._replace(**dict.fromkeys(held, _smallest()))


def _settled(rule: Rule | Averaged) -> Any:
    state = _hold(rule, rule.init(jnp.zeros(())))
    if isinstance(rule, Averaged):
        return state._replace(rule=_settled(rule.rule), count=jnp.int32(_LONG_AFTER))  # type: ignore[arg-type]
    settled = {name: jnp.asarray(value, float) for name, value in rule.facts.long_after.items()}
    return state._replace(t=jnp.int32(_LONG_AFTER), **settled)


def _read(rule: Rule | Averaged, names: tuple[str, ...], state: Any) -> list[Array]:
    if isinstance(rule, Averaged):
        return [*_read(rule.rule, names[:-1], state.rule), state.average]  # type: ignore[arg-type]
    return [getattr(state, name) for name in names]


def _write(rule: Rule | Averaged, names: tuple[str, ...], state: Any, values: Array) -> Any:
    if isinstance(rule, Averaged):
        inner = _write(rule.rule, names[:-1], state.rule, values[:-1])  # type: ignore[arg-type]
        return state._replace(rule=inner, average=values[-1])
    return state._replace(**{name: values[i] for i, name in enumerate(names)})
