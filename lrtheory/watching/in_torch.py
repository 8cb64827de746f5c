"""Watching torch optimizers."""

from __future__ import annotations

import atexit
import os
import weakref
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ..adopting.in_torch import kind_of
from ..numbers import check_counts
from . import torch_patches
from .handle import Watch
from .loggers import Log
from .record import Writer
from .torch_recorder import Recorder, Schedulers

EVERY, SAMPLE, SEED = 100, 256, 0


class TorchWatch(Watch):
    """Watch of some torch optimizers; :meth:`add` takes one more."""

    def __init__(
        self,
        model: Any = None,
        *,
        every: int = EVERY,
        sample: int = SAMPLE,
        out: str | Path = "run",
        log: Log | None = None,
        seed: int = SEED,
    ) -> None:
        check_counts(every=every, sample=sample)
        writer = Writer(out, "torch", every=every, sample=sample, seed=seed) if is_first_process() else None
        super().__init__(writer, log)
        self._settings = {"every": every, "sample": sample, "seed": seed}
        self._model = model
        self.recorders: list[Recorder] = []
        self._schedulers = Schedulers()
        self._handles: list[Any] = []
        self._outside: list[str] | None = None
        self._names, self._modules = dict[int, str](), dict[int, str]()
        if model is not None:
            self.know(model)
        leaving = weakref.WeakMethod(self.close)
        atexit.register(lambda: (close := leaving()) and close())

    def know(self, model: Any) -> None:
        """Take names of parameters, and the classes of their modules, from a model."""
        if type(model).__name__ in ("DistributedDataParallel", "DataParallel", "FullyShardedDataParallel"):
            model = model.module
        for path, module in model.named_modules():
            for name, p in module.named_parameters(recurse=False):
                if id(p) not in self._names:
                    self._names[id(p)] = plain_name(f"{path}.{name}" if path else name)
                    self._modules[id(p)] = type(module).__name__

    def knows(self, optimizer: Any) -> bool:
        """Whether all parameters of an optimizer have names."""
        return all(id(p) in self._names for group in optimizer.param_groups for p in group["params"])

    def add(self, optimizer: Any, name: str = "") -> Recorder:
        """Watch one more optimizer."""
        number = len(self.recorders)
        recorder = Recorder(
            number,
            name or type(optimizer).__name__,
            optimizer,
            self._writer,
            names=self._names,
            modules=self._modules,
            kind=kind_of(optimizer),
            schedulers=self._schedulers,
            on_measured=self.measured,
            **self._settings,
        )
        self.recorders.append(recorder)
        torch_patches.listen(recorder)
        before, after = recorder.hooks()
        self._handles.append(optimizer.register_step_pre_hook(before))
        self._handles.append(optimizer.register_step_post_hook(after))
        return recorder

    def cover(self) -> None:
        """Write which parameters of the model are in no optimizer, at no call so far, and which are in several."""
        seen: dict[int, int] = {}
        for recorder in self.recorders:
            for p in (p for group in recorder.optimizer.param_groups for p in group["params"]):
                seen[id(p)] = seen.get(id(p), 0) + 1
        outside = []
        if self._model is not None:
            outside = [self._names[id(p)] for p in self._model.parameters() if p.requires_grad and id(p) not in seen]
            outside = [name for name in outside if self._outside is None or name in self._outside]
            self._outside = outside
        twice = [self._names.get(i, "a parameter without a name") for i, times in seen.items() if times > 1]
        if self._writer is not None:
            self._writer.line("coverage", outside=outside, twice=twice)

    def close(self) -> None:
        """Take the hooks off and end the recording."""
        if self.closed:
            return
        if self._outside:  # some may have been added to a group since
            self.cover()
        for handle in self._handles:
            handle.remove()
        for recorder in self.recorders:
            torch_patches.leave(recorder)
        super().close()

    def _end(self) -> Mapping[str, Any]:
        return {
            "steps": {r.number: r.step + 1 for r in self.recorders},
            "skipped": {r.number: r.skipped for r in self.recorders},
            "schedulers": {r.number: r.schedules() for r in self.recorders},
        }


def watch_torch(optimizer: Any, model: Any, **settings: Any) -> TorchWatch:
    """Watch one optimizer, several in a list, or several by name in a mapping."""
    given = _several(optimizer)
    watch = TorchWatch(model, **settings)
    for name, one in given:
        watch.add(one, name)
    watch.cover()
    return watch


def _several(optimizer: Any) -> list[tuple[str, Any]]:
    if isinstance(optimizer, Mapping):
        named = list(optimizer.items())
    elif isinstance(optimizer, Iterable) and not hasattr(optimizer, "update"):  # a transformation of optax is a tuple
        named = [("", one) for one in optimizer]
    else:
        named = [("", optimizer)]
    if not named:
        raise ValueError("no optimizer was given: give one, a list of them, or a mapping by name")
    return [(str(name), stepped(one)) for name, one in named]


def stepped(optimizer: Any) -> Any:
    """The optimizer whose steps call hooks: itself, or the one that it is a coat of.

    Raises
    ------
    TypeError
        For what has no step hook.
    """
    import torch

    inner = optimizer
    while isinstance(getattr(inner, "optimizer", None), torch.optim.Optimizer):
        inner = inner.optimizer
    if not isinstance(inner, torch.optim.Optimizer) or not hasattr(inner, "_optimizer_step_pre_hooks"):
        kind = f"{type(optimizer).__module__}.{type(optimizer).__qualname__}"
        raise TypeError(
            f"{kind} has no step hooks to watch by: give a torch.optim.Optimizer, or a class that derives from it and calls its "
            "__init__; optax is watched by lrtheory.optax.watched(tx), and Keras by the callback lrtheory.watching.keras.Watch"
        )
    return inner


def is_first_process() -> bool:
    """Whether this is rank 0, or the only process."""
    import torch

    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_rank() == 0
    return os.environ.get("RANK", "0") == "0"


def plain_name(name: str) -> str:
    """A qualified name without what compiling and wrapping put into it."""
    return ".".join(part for part in name.split(".") if part not in ("_orig_mod", "_fsdp_wrapped_module"))
