"""One Hypothesis profile for every test, compiled programs kept from run to run, and torch kept to one thread."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# Programs that JAX has compiled before, in the ignored folder .cache, also for the processes that tests start. Set before
# JAX is imported; delete the folder for a cold run.
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(Path(__file__).parents[1] / ".cache" / "jax"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.1")

IN_CI = bool(os.environ.get("CI"))

settings.register_profile(
    "lrtheory",
    deadline=None,  # the first example compiles
    derandomize=IN_CI,  # the same examples every time where nobody is there to look
    print_blob=True,
    max_examples=60,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("deep", settings.get_profile("lrtheory"), max_examples=1000, derandomize=False)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "lrtheory"))


@pytest.fixture(autouse=True, scope="session")
def _one_torch_thread() -> None:
    import torch

    torch.set_num_threads(1)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deep runs only when they are asked for with ``-m deep``."""
    if "deep" in (config.option.markexpr or ""):
        return
    skip = pytest.mark.skip(reason="a deep run: `make deep`")
    for item in items:
        if item.get_closest_marker("deep"):
            item.add_marker(skip)
