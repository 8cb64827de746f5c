"""What is asked of a saved optimizer; each check yields faults, and notes what it could not judge."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ..checkpoint import Checkpoint
from ..fault import Fault, Notes
from ..identified import Identified
from .counts import counts_agree, counts_fit_the_run
from .dtypes import not_narrowed
from .moments import moments_fit_counts, moments_there
from .names import groups_in_order, names_fit, options_fit
from .schedule import lr_explained
from .values import finite

CHECKS: tuple[Callable[[Identified, Checkpoint, Notes], Iterator[Fault]], ...] = (
    finite,
    groups_in_order,
    names_fit,
    options_fit,
    counts_agree,
    counts_fit_the_run,
    moments_there,
    moments_fit_counts,
    not_narrowed,
    lr_explained,
)
