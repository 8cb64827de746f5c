"""A Keras model that is fitted and watched, on the JAX backend: the same bits, and the rule that its optimizer is."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

if importlib.util.find_spec("keras") is None:
    pytest.skip("keras is not installed", allow_module_level=True)

SCRIPT = """
import json, sys
import numpy as np
import keras
from lrtheory.watching.keras import Watch

class Mine(keras.optimizers.Adam):
    pass

def fit(out=None, scale=None, **options):
    keras.utils.set_random_seed(0)
    model = keras.Sequential([
        keras.layers.Input((5,)), keras.layers.Dense(8, "tanh"), keras.layers.Dropout(0.3), keras.layers.Dense(2),
    ])
    optimizer = Mine(1e-2) if scale == "own" else keras.optimizers.Adam(1e-2, **options)
    if isinstance(scale, float):
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer, scale, dynamic_growth_steps=1 if scale > 1e30 else 2000)
    model.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    rng = np.random.default_rng(0)
    watch = [] if out is None else [Watch(every=2, out=out)]
    model.fit(rng.normal(size=(40, 5)), rng.integers(0, 2, 40), batch_size=8, epochs=2, verbose=0, callbacks=watch)
    return [keras.ops.convert_to_numpy(v).tobytes() for v in model.weights], watch and watch[0].watch

out, options = sys.argv[1], json.loads(sys.argv[2])
plain, _ = fit(**options)
watched, watch = fit(out, **options)
assert watched == plain
run = watch.run()
assert run.ended and not run.notes, run.notes
w = run.optimizers[0]
assert list(w.steps) == [0, 2, 4, 6, 8] and w.taken == 10
kernel = next(j for j, t in enumerate(w.tensors) if t["shape"] == [5, 8])
assert w.tensors[kernel]["rule"] == "adam()", w.tensors[kernel]
clip, grad, effective = (w.figures[n][:, kernel] for n in ("clip_factor", "grad_norm", "harmonic_mean"))
assert np.all(clip < 0.9) if options else np.all(clip == 1)
assert np.all(grad > 0)
# At the first step Adam moves every coordinate by lr, so that the mean of 1/E is that of the gradient's size over lr.
assert abs(effective[0] * w.figures["direction_rms"][0, kernel] / 1e-2 - 1) < 0.8
assert np.all(w.figures["absorbed"][:, kernel] == 0)
if not options:
    # A loss scale is looked into: the same figures for one that is no power too large, and what it leaves out is counted.
    _, scaled = fit(out + "scaled", 2.0**10)
    (again,) = scaled.run().optimizers
    for name in ("grad_norm", "harmonic_mean", "relative_update"):
        np.testing.assert_allclose(again.figures[name], w.figures[name], rtol=1e-4)
    weights, scaled = fit(out + "over", 2.0**127)
    (again,) = scaled.run().optimizers
    assert again.kind == "Adam" and again.taken == 10 and 0 < again.skipped < 10, again.skipped
    assert len(again.steps) < 5 and np.isfinite(again.figures["grad_norm"]).all()
    _, own = fit(out + "own", "own")
    (again,) = own.run().optimizers
    assert len(again.steps) == 5 and "none of Keras's own classes" in again.tensors[0]["reason"]
print("done", keras.backend.backend())
"""


@pytest.mark.parametrize(
    "options", [{}, {"global_clipnorm": 0.05}, pytest.param({"clipnorm": 0.02}, marks=pytest.mark.deep)], ids=str
)
def test_a_keras_fit_is_watched_and_left_as_it_is(options, tmp_path):
    root = Path(__file__).parents[2]
    env = os.environ | {"KERAS_BACKEND": "jax", "PYTHONPATH": str(root), "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-c", SCRIPT, str(tmp_path / "run"), json.dumps(options)]
    run = subprocess.run(command, env=env, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert run.stdout == "done jax\n"
