"""The checks, by what they look at; importing this fills the registry, in the order of the report."""

from . import jax_contract, torch_contract  # isort: skip
from . import jax_compiled, torch_groups  # isort: skip
from . import purity, values, missing, learning_rate, resuming, scaling, bounds, reference  # isort: skip

__all__ = [
    "bounds",
    "jax_compiled",
    "jax_contract",
    "learning_rate",
    "missing",
    "purity",
    "reference",
    "resuming",
    "scaling",
    "torch_contract",
    "torch_groups",
    "values",
]
