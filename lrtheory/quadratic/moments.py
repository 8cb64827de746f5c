r"""Mean and covariance of a run on a noisy quadratic, without sampling.

With gradient noise n of mean 0 and variance c/B in each eigendirection, :math:`z' = A z + N n` moves the moments by

.. math:: mean \leftarrow A\,mean, \qquad covariance \leftarrow A\,covariance\,A^\top + N N^\top c/B ,

exactly, whatever the distribution of the noise (Zhang et al. 2019, 1907.04164).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax

from .linear_step import LinearStep


class NoisyQuadratic(NamedTuple):
    """``L = ½ Σ h_i p_i²`` in the eigenbasis of its Hessian, with gradients of single examples that scatter.

    Attributes
    ----------
    curvature : (d,), [loss]/[param]²
        Eigenvalues h.
    variance : (d,), [loss]²/[param]²
        Variance c of one example's gradient; a batch of B has c/B.
    mean, spread : (d,), [param] and [param]²
        Mean and variance of the first parameters.
    """

    curvature: Any
    variance: Any
    mean: Any
    spread: Any

    def start(self, step: LinearStep) -> Moments:
        """Moments of z before the first step, memories empty.

        A weight average is empty too: the first step of :func:`linear_steps` copies the parameters into it, and never
        reads it; a settled map averages from 0 on.
        """
        first = jnp.zeros(step.M.shape[-1], step.M.dtype).at[0].set(1)
        return Moments(jnp.outer(self.mean, first), self.spread[:, None, None] * jnp.outer(first, first))

    def loss(self, moments: Moments) -> Array:
        """Expected loss ``½ Σ h E[p²]``."""
        return 0.5 * jnp.sum(self.curvature * (moments.mean[:, 0] ** 2 + moments.covariance[:, 0, 0]))


class Moments(NamedTuple):
    """Mean (d, k) and covariance (d, k, k) of z."""

    mean: Array
    covariance: Array


def power_law(dimensions: int = 10_000, exponent: float = 1.0) -> NoisyQuadratic:
    """Curvatures ``i^−exponent``, noise with the Hessian as covariance, first parameters of variance 1.

    With exponent 1 and 10⁴ dimensions the model of Zhang et al. 2019 (1907.04164).
    """
    h = jnp.arange(1.0, dimensions + 1) ** -exponent
    return NoisyQuadratic(h, h, jnp.zeros_like(h), jnp.ones_like(h))


def advance(step: LinearStep, problem: NoisyQuadratic, batch: Any, moments: Moments) -> Moments:
    """Moments after one more step."""
    A = step.transition(problem.curvature)
    noise = (problem.variance / batch)[:, None, None] * jnp.outer(step.N, step.N)
    return Moments(
        jnp.einsum("dij,dj->di", A, moments.mean), jnp.einsum("dij,djk,dlk->dil", A, moments.covariance, A) + noise
    )


@jax.jit
def propagate(steps: LinearStep, problem: NoisyQuadratic, batch: Any) -> tuple[Moments, Array]:
    """A run of T steps, each with its own map from :func:`linear_steps`: the last moments and T expected losses."""

    def one(moments: Moments, step: LinearStep) -> tuple[Moments, Array]:
        moments = advance(step, problem, batch, moments)
        return moments, problem.loss(moments)

    return lax.scan(one, problem.start(steps), steps)


@jax.jit
def stationary(step: LinearStep, curvature: Any, variance: Any) -> Array:
    """Covariance of z in the long run, from the discrete Lyapunov equation ``S = A S A' + N N' variance``.

    Parameters
    ----------
    curvature, variance : (...,)
        The variance is that of the batch's gradient, c/B.

    Returns
    -------
    array (..., k, k)
        nan where the run is not stable: there is no such covariance.
    """
    A = step.transition(curvature)
    k = A.shape[-1]
    pairs = jnp.einsum("...ij,...kl->...ikjl", A, A).reshape(*A.shape[:-2], k * k, k * k)
    noise = jnp.asarray(variance)[..., None] * jnp.outer(step.N, step.N).ravel()
    solved = jnp.linalg.solve(jnp.eye(k * k) - pairs, noise[..., None])[..., 0]
    # S exists where A A … → 0, that is where all eigenvalues are inside the circle.
    stable = jnp.abs(jnp.linalg.eigvals(A)).max(axis=-1) < 1
    return jnp.where(stable[..., None, None], solved.reshape(A.shape), jnp.nan)
