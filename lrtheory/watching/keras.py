"""Watching ``model.fit`` of Keras 3: a callback."""

# Keras sets a callback's model before it calls it.
# pyright: reportOptionalMemberAccess=false

from __future__ import annotations

import itertools
import warnings
from pathlib import Path
from typing import Any

import keras
import numpy as np

from ..adopting import Adopted
from ..adopting.in_keras import adopt_keras, inner
from ..numbers import check_counts
from .handle import Watch as Handle
from .loggers import Log
from .own_terms import FRAMEWORK, written_group
from .record import RecordWarning, Writer


class Watch(keras.callbacks.Callback):
    """Watches the optimizer of a model that is fitted, on the JAX backend; on others nothing is recorded, and it says so.

    The gradient of a measured step is computed once more, by a program of its own with the same batch and seeds, so that
    the program that trains is the one that would train without this callback.

    Parameters
    ----------
    every : int
        Measure the first batch, and every so many from there on.
    sample : int
        Coordinates of a variable that are recorded; one with no more is recorded whole.
    out : path
        Directory of the record; the next free ``out-2``, ``out-3``, … if it has one already.
    log : function, optional
        ``log(figures, step)``, such as those of :mod:`.loggers`.

    Attributes
    ----------
    watch : lrtheory.watching.Watch or None
        From the start of a fit on, also after it: ``.summary()``, ``.findings()``, ``.report()``.
    """

    def __init__(self, every: int = 100, *, sample: int = 256, out: str | Path = "run", log: Log | None = None) -> None:
        super().__init__()
        check_counts(every=every, sample=sample)
        self.every, self.sample, self.out, self.log = every, sample, out, log
        self.watch: Handle | None = None

    def on_train_begin(self, logs: Any = None) -> None:
        """Begin to record."""
        self._writer = Writer(self.out, FRAMEWORK, every=self.every, sample=self.sample, seed=0)
        self.watch = Handle(self._writer, self.log)
        self._step, self._scale, self._taken = -1, 1.0, int(self.model.optimizer.iterations)
        self._before: Adopted | None = None
        self._tensors: dict[str, int] = {}
        self._gradients: list[Any] | None = None
        self._theirs = None
        kind = type(inner(self.model.optimizer)).__name__
        self._writer.line("optimizer", optimizer=0, name=kind, **{"class": kind}, reason="", fresh=True)
        self._on = getattr(self.model, "steps_per_execution", 1) == 1
        if not self._on:
            self._stop("several steps are one execution (steps_per_execution), so that single ones are not seen")
        elif keras.backend.backend() == "jax":
            self._theirs = self.model.train_function
            self.model.train_function = self._beside(self._theirs)
        else:
            self._stop(f"the gradients of the {keras.backend.backend()} backend are not seen")

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Look at the state before a step that is measured."""
        self._step += 1
        if self._on and self._step % self.every == 0:
            self._safely(self._begin)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Look at what it has become."""
        if self._before is not None:
            self._safely(self._finish)
            self._before = self._gradients = None

    def on_train_end(self, logs: Any = None) -> None:
        """End the recording."""
        if self._theirs is not None:
            self.model.train_function, self._theirs = self._theirs, None
        if self.watch is not None and not self.watch.closed:
            self.watch.closing = {"steps": {0: self._step + 1}, "skipped": {0: self._skipped()}}
            self.watch.close()

    def _skipped(self) -> int:
        """Steps that a loss scale left out, of which the optimizer inside has not counted any."""
        optimizer = self.model.optimizer
        if inner(optimizer) is optimizer or inner(optimizer).gradient_accumulation_steps:
            return 0
        return self._step + 1 - (int(optimizer.iterations) - self._taken)

    def _safely(self, act: Any) -> None:
        try:
            act()
        except Exception as error:
            self._stop(f"step {self._step} could not be recorded ({type(error).__name__}: {error})")
            self._before = None

    def _stop(self, text: str) -> None:
        self._on = False
        text = f"{text}; recording stops, and training goes on"
        self._writer.line("note", text=text)
        warnings.warn(text, RecordWarning, stacklevel=3)

    def _read(self) -> Adopted:
        self.model.jax_state_sync()
        return adopt_keras(self.model.optimizer)

    def _begin(self) -> None:
        if not self.model.optimizer.built:  # as its first step would do
            self.model.optimizer.build(self.model.trainable_variables)
        found = self._read()
        self._before = found if any(group.params for group in found.groups) else None
        self._scale = float(self.model.optimizer.scale_loss(1.0))

    def _beside(self, train: Any) -> Any:
        """The function that trains, with a look at the batch of a step that is measured."""
        import jax

        @jax.jit
        def gradients(trained: Any, kept: Any, optimizer: Any, metrics: Any, data: Any) -> Any:
            x, y, weights = keras.utils.unpack_x_y_sample_weight(data)
            loss = lambda trained: self.model.compute_loss_and_updates(  # noqa: E731
                trained, kept, metrics, x, y, weights, training=True, optimizer_variables=optimizer
            )
            return jax.grad(loss, has_aux=True)(trained)[0]

        def watched(state: Any, iterator: Any) -> Any:
            if self._before is not None:
                data = next(iterator)
                iterator = itertools.chain([data], iterator)
                self._safely(lambda: self._take(gradients(*state, data)))
            return train(state, iterator)

        return watched

    def _take(self, found: Any) -> None:
        self._gradients = [np.asarray(g) / np.asarray(self._scale, g.dtype) for g in found]

    def _finish(self) -> None:
        assert self._before is not None
        variables = self.model.trainable_variables
        after = {name: value for group in self._read().groups for name, value in group.params.items()}
        if self._gradients is None:
            return
        grads: Any = dict(zip((v.path for v in variables), self._gradients, strict=True))
        if set(grads) != set(after):
            raise ValueError("variables have one path, or the optimizer has others than the model")
        scaled = inner(self.model.optimizer) is not self.model.optimizer
        if scaled and not all(np.isfinite(g).all() for g in self._gradients):  # the step is left out
            return
        clips, entries, blocks = [], [], []
        numbered = {n: self._numbered(n, v, i) for i, g in enumerate(self._before.groups) for n, v in g.params.items()}

        def add(tensor: int, what: str, value: Any) -> None:
            value = np.asarray(value)
            entries.append([tensor, what, str(value.dtype), list(np.shape(value))])
            blocks.append(value.tobytes())

        for around in self._before.around:
            norm = np.sqrt(sum(np.sum(np.square(g, dtype=np.float64)) for g in grads.values()))
            if around.name == "clip_by_global_norm":
                add(0, f"clip/{len(clips)}", norm.reshape(()))
                clips.append({"max_norm": around.numbers["max_norm"], "tensors": None})
            elif around.name == "clip_by_norm":
                for name, tensor in numbered.items():
                    add(0, f"clip/{len(clips)}", np.linalg.norm(np.asarray(grads[name], np.float64)))
                    clips.append({"max_norm": around.numbers["max_norm"], "tensors": [tensor]})
            grads = around.given(grads)
            if grads is None:  # it only gathers
                return
        for group in self._before.groups:
            for name, value in group.params.items():
                tensor = numbered[name]
                places = np.linspace(0, value.size - 1, min(value.size, self.sample)).round().astype(int)
                pick = lambda x, at=places: np.asarray(x).reshape(-1)[at]  # noqa: E731
                add(tensor, "before", pick(value))
                add(tensor, "after", pick(after[name]))
                add(tensor, "grad", pick(grads[name]))
                add(tensor, "param_norm", np.linalg.norm(np.asarray(value, np.float64)))
                add(tensor, "grad_norm", np.linalg.norm(np.asarray(grads[name], np.float64)))
                slots = {} if group.rule is None else group.state._asdict()
                for slot, column in slots.items():
                    if column is not None:
                        kept = np.asarray(column[name])
                        add(tensor, f"state/{slot}", pick(kept) if kept.shape == value.shape and kept.ndim else kept)
        groups = [written_group(group) for group in self._before.groups]
        self._writer.step(
            entries, b"".join(blocks), optimizer=0, step=self._step, groups=groups, clips=clips, skipped=0, numbers={}
        )  # fmt: skip
        assert self.watch is not None
        self.watch.measured()

    def _numbered(self, name: str, value: np.ndarray, group: int) -> int:
        if name not in self._tensors:
            self._tensors[name] = len(self._tensors)
            self._writer.line(
                "tensor", optimizer=0, tensor=self._tensors[name], name=name, shape=list(value.shape), group=group,
                dtype=str(value.dtype), count=min(value.size, self.sample), module="", missing="", sharded=False,
            )  # fmt: skip
        return self._tensors[name]
