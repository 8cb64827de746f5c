"""What is global in a process: looked at before a target is first made, compared, and put back."""

from __future__ import annotations

import contextlib
import gc
import os
import random
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np


class Setting(NamedTuple):
    """One of them: how it is read, and how it is put back."""

    read: Callable[[], Any]
    write: Callable[[Any], Any]


def _hashable(state: Any) -> tuple[Any, ...]:
    return (state[0], state[1].tobytes(), *state[2:])


def _flushed() -> bool:
    with np.errstate(all="ignore"):
        return bool(np.array([1e-310])[0] * np.array([1.0])[0] == 0)


def _of_torch() -> Any:
    return sys.modules["torch"]


_OURS: Mapping[str, Setting] = {
    "the state of random": Setting(random.getstate, random.setstate),
    "the state of numpy.random": Setting(
        lambda: _hashable(np.random.get_state()),  # noqa: NPY002
        lambda kept: np.random.set_state((kept[0], np.frombuffer(kept[1], np.uint32), *kept[2:])),  # noqa: NPY002
    ),
    "numpy's error handling": Setting(np.geterr, lambda kept: np.seterr(**kept)),
    "Python's recursion limit": Setting(sys.getrecursionlimit, sys.setrecursionlimit),
    "the working directory": Setting(os.getcwd, os.chdir),
    "whether garbage is collected": Setting(gc.isenabled, lambda kept: gc.enable() if kept else gc.disable()),
    "whether tiny numbers are flushed to 0": Setting(_flushed, lambda kept: _of_torch().set_flush_denormal(kept)),
}


def _settings() -> dict[str, Setting]:
    torch: Any = sys.modules.get("torch")
    if torch is None or not hasattr(torch, "get_rng_state"):
        return dict(_OURS)
    return {
        **_OURS,
        "torch's random state": Setting(
            lambda: torch.get_rng_state().numpy().tobytes(),
            lambda kept: torch.set_rng_state(torch.frombuffer(bytearray(kept), dtype=torch.uint8)),
        ),
        "torch's default dtype": Setting(torch.get_default_dtype, torch.set_default_dtype),
        "torch's default device": Setting(torch.get_default_device, lambda kept: torch.set_default_device(kept)),
        "whether torch records gradients": Setting(torch.is_grad_enabled, torch.set_grad_enabled),
        "the number of torch's threads": Setting(torch.get_num_threads, torch.set_num_threads),
        "whether torch's algorithms are deterministic": Setting(
            torch.get_deterministic_debug_mode, torch.set_deterministic_debug_mode
        ),
        "torch's precision of matrix products": Setting(
            torch.get_float32_matmul_precision, torch.set_float32_matmul_precision
        ),
        "torch's detection of anomalies": Setting(
            torch.is_anomaly_enabled, lambda kept: torch.autograd.set_detect_anomaly(kept)
        ),
    }


def read() -> dict[str, Any]:
    """Every setting as it is now, as this thread sees it; of JAX as another thread does, outside of any context."""
    of_jax: dict[str, Any] = {}
    thread = threading.Thread(target=lambda: of_jax.update(jax.config.values))
    thread.start()
    thread.join()
    return {name: one.read() for name, one in _settings().items()} | of_jax


def changed(before: Mapping[str, Any]) -> list[str]:
    """What is otherwise now, in words; a module that was not there before has nothing to compare with."""
    now = read()
    return [
        f"changes {name}" + ("" if "state" in name else f" from {before[name]!r} to {now[name]!r}")
        for name in before
        if now[name] != before[name]
    ]


def restore(before: Mapping[str, Any]) -> None:
    """Put back what is otherwise now."""
    now, ours = read(), _settings()
    for name, kept in before.items():
        if now[name] != kept:
            with contextlib.suppress(Exception):  # some of jax cannot be changed once it runs
                ours[name].write(kept) if name in ours else jax.config.update(name, kept)


@contextlib.contextmanager
def put_back() -> Iterator[Mapping[str, Any]]:
    """What was global before the block is so after it. Generators start where no seeding leaves them."""
    before = read()
    random.seed(0xD1CE)
    np.random.seed(0xD1CE)  # noqa: NPY002
    torch: Any = sys.modules.get("torch")
    if torch is not None and hasattr(torch, "manual_seed"):
        torch.manual_seed(0xD1CE)
    try:
        yield read()
    finally:
        restore(before)
