"""What a parameter was really trained with: summaries of effective lr, step and decay, per parameter.

Everything here has a structure fixed before the run, so that it runs inside ``jit``, ``vmap`` and ``scan``, and reads
its inputs through an optimisation barrier, so that measuring does not change a bit of the trajectory. The one exception
known is schedule-free SGD, whose step XLA on CPU contracts otherwise beside a measurement: one float32 ulp.

:func:`measure` reads every coordinate several times, which costs some training steps where batches are small. ``exact=False``
reads an even sample instead; :func:`measure_every` and :func:`scan` measure one step in many.
"""

from .examples import per_example
from .seldom import INTERVAL, measure_every, scan
from .summary import QUANTILES, SAMPLE, Summary, measure

__all__ = ["INTERVAL", "QUANTILES", "SAMPLE", "Summary", "measure", "measure_every", "per_example", "scan"]
