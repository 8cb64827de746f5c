"""Keras, imported on a backend that is there, with the environment left as it was."""

from __future__ import annotations

import importlib
import json
import os
import sys
from pathlib import Path
from typing import Any


def load_keras() -> Any:
    """Keras as it is imported already, or on the backend that was chosen, or else on JAX.

    A backend is chosen by ``KERAS_BACKEND`` or in Keras's own ``keras.json``. Keras writes its default, TensorFlow, there
    by itself: that is no choice. What is imported on JAX is asked for signatures; the environment of the process does not
    change.
    """
    if "keras" in sys.modules:
        return sys.modules["keras"]
    before = dict(os.environ)
    if not _chosen():
        os.environ["KERAS_BACKEND"] = "jax"
    try:
        return importlib.import_module("keras")
    finally:
        for name in os.environ.keys() - before.keys():  # Keras sets some of its own
            del os.environ[name]
        os.environ.update(before)


def _chosen() -> bool:
    if os.environ.get("KERAS_BACKEND"):
        return True
    file = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras") / "keras.json"
    try:
        return json.loads(file.read_text()).get("backend", "tensorflow") != "tensorflow"
    except (OSError, RuntimeError, ValueError, AttributeError):  # none, or none that can be read
        return False
