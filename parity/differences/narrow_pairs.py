"""The questions about narrow dtypes and missing gradients."""

from __future__ import annotations

from .pair import Pair

INJECTED = "optax.inject_hyperparams(optax.adam)(0.1)"
INJECT_SOURCE = (
    "optax/schedules/_inject.py: hyperparameters become arrays of the parameters' dtype; google-deepmind/optax#1532"
)
SKIPS = "a parameter whose grad is None is left out of the step; JAX has zeros in its place"

NARROW_PAIRS: tuple[Pair, ...] = (
    Pair(
        "optax-sgd-float32",
        "optax.sgd(0.1, momentum=0.9)",
        "torch.optim.SGD(lr=0.1, momentum=0.9)",
        dtype="float32",
    ),
    Pair(
        "optax-adam-float32",
        "optax.adam(0.1)",
        "torch.optim.Adam(lr=0.1)",
        "optax/tree_utils/_tree_math.py tree_bias_correction: 1 − decay**count is formed in float32; torch/optim/adam.py: in "
        "Python's doubles",
        dtype="float32",
    ),
    Pair("our-adam-float32", "adam(lr=0.1)", "torch.optim.Adam(lr=0.1)", dtype="float32"),
    Pair("optax-inject-float32", INJECTED, "optax.adam(0.1)", INJECT_SOURCE, dtype="float32"),
    Pair(
        "optax-inject-bfloat16",
        INJECTED,
        "optax.adam(0.1)",
        f"{INJECT_SOURCE}; b2=0.999 is 1 in bfloat16, and 1 − b2 is 0",
        dtype="bfloat16",
    ),
    Pair("optax-inject-float64", INJECTED, "optax.adam(0.1)"),
    Pair(
        "optax-lr-dtype-bfloat16",
        "optax.sgd(0.1)",
        "optax.sgd(numpy.float32(0.1))",
        "optax/_src/transform.py scale: step_size * g has the wider of the two dtypes; google-deepmind/optax#1405",
        dtype="bfloat16",
    ),
    Pair("optax-lr-dtype-float32", "optax.adam(0.1)", "optax.adam(numpy.float64(0.1))", dtype="float32"),
    Pair("optax-lr-dtype-jax-float32", "optax.adam(0.1)", "optax.adam(jax.numpy.float32(0.1))", dtype="float32"),
    Pair("optax-sgd-bfloat16", "optax.sgd(0.1)", "torch.optim.SGD(lr=0.1)", dtype="bfloat16"),
    Pair(
        "our-sgd-bfloat16",
        "sgd(lr=0.1)",
        "torch.optim.SGD(lr=0.1)",
        "lrtheory/rules/lift.py: an update is formed in float32 at least and rounded once",
        dtype="bfloat16",
    ),
    *(
        Pair(
            f"torch-{name.lower()}-{way}",
            f"torch.optim.{name}(lr=0.1, {way}=True)",
            f"torch.optim.{name}(lr=0.1, foreach=False)",
            dtype="float32",
        )
        for name, way in (
            ("SGD", "foreach"),
            ("Adam", "foreach"),
            ("Adam", "fused"),
            ("NAdam", "foreach"),
            ("RAdam", "foreach"),
        )
    ),
    Pair("our-asgd-float32", "asgd(lr=0.1)", "torch.optim.ASGD(lr=0.1, foreach=False)", dtype="float32"),
    Pair(
        "torch-asgd-foreach",
        "torch.optim.ASGD(lr=0.1, foreach=True)",
        "torch.optim.ASGD(lr=0.1, foreach=False)",
        "torch/optim/asgd.py _multi_tensor_asgd: lambd·param is added to the gradient, eta = lr / (1 + lambd·lr·step)**alpha is "
        "formed with step a tensor, ax takes the difference even at mu = 1; _single_tensor_asgd: param.mul_(1 − lambd·eta), "
        "Python's doubles, copy_",
        dtype="float32",
    ),
    Pair(
        "missing-sgd-dampening",
        "sgd(lr=0.1, momentum=0.9, dampening=0.4)",
        "torch.optim.SGD(lr=0.1, momentum=0.9, dampening=0.4)",
        f"torch/optim/sgd.py: {SKIPS}, so that its buffer starts at the first gradient that is there; pytorch/pytorch#152833",
        missing=True,
    ),
    Pair(
        "missing-sgd",
        "optax.sgd(0.1, momentum=0.9)",
        "torch.optim.SGD(lr=0.1, momentum=0.9)",
        missing=True,
    ),
    Pair(
        "missing-adam",
        "optax.adam(0.1)",
        "torch.optim.Adam(lr=0.1)",
        f"torch/optim/adam.py: {SKIPS}, so that its own step count starts late",
        missing=True,
    ),
    Pair(
        "missing-adamw",
        "optax.adamw(0.1, weight_decay=0.01)",
        "torch.optim.AdamW(lr=0.1)",
        f"torch/optim/adamw.py: {SKIPS}, and does not decay",
        missing=True,
    ),
)
