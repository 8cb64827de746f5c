"""Programs that run for milliseconds and would compile for seconds: compiled without optimisation.

Each operation is rounded as its formula says, where XLA's optimised code contracts some; so a figure about float32
rounding is taken with ``jax.jit``.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax

#: What makes XLA's CPU compiler fast, the first with most effect: its newer emitters of fused loops take most of the time
#: of a training loop, splitting the code for parallel compilation costs more than it saves on small programs, and level
#: 0 leaves LLVM's optimiser out. Together a training loop of the digits compiles in 0.6 s, and in 2.0 s without
#: (XLA of jaxlib 0.10.2).
OPTIONS = {
    "xla_cpu_use_fusion_emitters": False,
    "xla_cpu_parallel_codegen_split_count": 1,
    "xla_backend_optimization_level": 0,
}


def quickly_compiled(**jit_options: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A decorator like ``jax.jit`` for a program that is compiled once and runs briefly.

    Parameters
    ----------
    jit_options : as of ``jax.jit``
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.cache
        def program() -> Any:
            return jax.jit(function, compiler_options=known_options(), **jit_options)

        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            return program()(*args, **kwargs)

        return call

    return decorate


@functools.cache
def known_options() -> dict[str, bool | int]:
    """Those of the options that this XLA knows: the names come and go between its versions, and an unknown one raises."""
    return {name: value for name, value in OPTIONS.items() if _is_known(name, value)}


def _is_known(name: str, value: bool | int) -> bool:
    try:
        jax.jit(lambda: 0, compiler_options={name: value}).lower().compile()
    except jax.errors.JaxRuntimeError as error:
        if "No such compile option" in str(error):
            return False
        raise
    return True


if (
    __name__ == "__main__"
):  # for XLA_FLAGS of a whole process, as `make test` sets it: an unknown flag there ends the process
    print(" ".join(f"--{name}={str(value).lower()}" for name, value in known_options().items()))
