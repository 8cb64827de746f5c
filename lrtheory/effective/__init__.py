"""What a parameter was really trained with: summaries of effective lr, step and decay, per parameter.

Everything here has a structure fixed before the run, so that it runs inside ``jit``, ``vmap`` and ``scan``, and reads
its inputs through an optimisation barrier, so that measuring does not change a bit of the trajectory. The one exception
known is schedule-free SGD, whose step XLA on CPU contracts otherwise beside a measurement: one float32 ulp.

The effective lr E is a secant: the step over the mean gradient d, the total weight of all gradients so far. It is *not* the
response to the next gradient: −∂Δθ/∂g over E is 0 for sign rules and Adam's first step, 0.58 for NAdam at step 200, and
−0.9 for Adamax under a constant gradient.

Δθ = −E⊙d − decay holds up to the rounding of θ in its own dtype: a bfloat16 parameter of 1 loses every step below 2⁻⁹.
``absorbed`` is the share of coordinates to which that happened, and ``decay_resolution`` says it of decay alone.

:func:`measure` reads every coordinate several times, which costs some training steps where batches are small. ``exact=False``
reads a sample instead; :func:`measure_every` and :func:`scan` measure one step in many. :func:`probe` takes a small sample
at every step, packed, and summarises it when it is read; :func:`scan` takes both by the same call.
"""

from ..rules.elementwise import is_elementwise
from ._probe import PROBE_SAMPLE, Probe, probe
from ._seldom import INTERVAL, Step, measure_every, scan
from ._summary import QUANTILES, SAMPLE, Summary, Whole, measure, per_example, realised

__all__ = [
    "INTERVAL",
    "PROBE_SAMPLE",
    "QUANTILES",
    "SAMPLE",
    "Probe",
    "Step",
    "Summary",
    "Whole",
    "is_elementwise",
    "measure",
    "measure_every",
    "per_example",
    "probe",
    "realised",
    "scan",
]
