"""Where torch, optax and JAX describe a name: the reference links there. Nothing is fetched; a name not known here is no link."""

from __future__ import annotations

import re

_TORCH = "https://docs.pytorch.org/docs/stable/generated/{}.html"
_OPTAX = "https://optax.readthedocs.io/en/latest/api/"
_JAX = "https://docs.jax.dev/en/latest/_autosummary/{}.html"
_OPTIMIZERS = (
    "adabelief adadelta adafactor adagrad adam adamax adamaxw adamw adan amsgrad fromage lamb lars lbfgs lion nadam nadamw noisy_sgd "
    "novograd optimistic_adam optimistic_gradient_descent polyak_sgd radam rmsprop rprop sgd sign_sgd signum sm3 yogi"
)
_TRANSFORMATIONS = "add_decayed_weights clip clip_by_block_rms clip_by_global_norm ema masked scale_by_adam scale_by_learning_rate trace"
#: Names, and the page of each; the order decides.
_PAGES = (
    (r"torch\.optim\.(?:lr_scheduler\.)?(?!Optimizer\b)[A-Z]\w+|torch\.nn\.utils\.clip_grad_(?:norm|value)_", _TORCH),
    (r"optax\.contrib\.(?!scale_by_)[a-z]\w+", _OPTAX + "contrib.html#{}"),
    (rf"optax\.(?:{_OPTIMIZERS.replace(' ', '|')})", _OPTAX + "optimizers.html#{}"),
    (rf"optax\.(?:{_TRANSFORMATIONS.replace(' ', '|')})", _OPTAX + "transformations.html#{}"),
    (r"jax\.(?:jit|vmap|ShapeDtypeStruct|numpy\.[a-z]\w+|lax\.[a-z]\w+)", _JAX),
)
#: A known name in a sentence: not part of a longer one, of a call or of code.
NAME = re.compile(rf"(?<![\w.`'\"/])(?:{'|'.join(pattern for pattern, _ in _PAGES)})(?![\w(`'\"]|\.\w)")


def address(name: str) -> str | None:
    """The address of its description."""
    return next((page.format(name) for pattern, page in _PAGES if re.fullmatch(pattern, name)), None)


def as_code(line: str) -> str:
    """A line of a docstring with the names in it as code; examples stay."""
    return line if line.lstrip().startswith((">>>", "...")) or line.startswith("    ") else NAME.sub(r"``\g<0>``", line)
