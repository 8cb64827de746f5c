"""What a checkpoint holds, whoever wrote it: optimizers with their state by tensor, weights, schedulers and counters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

Key = int | str


class CheckpointError(ValueError):
    """What keeps a file or folder from being read as a checkpoint; one line that says what to do."""


def said(text: object) -> str:
    """What a library said, on one line that is not long."""
    return " ".join(str(text).split())[:80]


@dataclass(frozen=True)
class SavedGroup:
    """A group of parameters.

    Attributes
    ----------
    numbers : mapping
        Its hyperparameters, under the framework's names.
    keys : tuple of int or str
        Its tensors, as they are called in the state.
    """

    numbers: Mapping[str, Any]
    keys: tuple[Key, ...]


@dataclass(frozen=True)
class SavedOptimizer:
    """An optimizer.

    Attributes
    ----------
    path : str
        Where it is in the checkpoint; empty if it is all of it.
    framework : str
        ``"torch"``, ``"optax"`` or ``"keras"``: whose names the state has.
    groups : tuple of SavedGroup
    state : mapping of tensor to its arrays and numbers by name
    names : mapping of tensor to its qualified name, where that is known
    kind : str
        Its class, where the checkpoint says so.
    spec : str
        It as a SPEC, where the checkpoint says so.
    """

    path: str
    framework: str
    groups: tuple[SavedGroup, ...]
    state: Mapping[Key, Mapping[str, Any]]
    names: Mapping[Key, str] = field(default_factory=dict)
    kind: str = ""
    spec: str = ""

    def state_dict(self) -> dict[str, Any]:
        """What ``optimizer.state_dict()`` gave, of a torch optimizer; its names in ``param_names``.

        Raises
        ------
        CheckpointError
            For an optimizer of another framework.
        """
        if self.framework != "torch":
            raise CheckpointError(f"the optimizer is one of {self.framework}, and has no state dict as torch has it")
        numbered = {key: at for at, key in enumerate(key for group in self.groups for key in group.keys)}
        groups = []
        for group in self.groups:
            own: dict[str, Any] = {**group.numbers, "params": [numbered[key] for key in group.keys]}
            if all(key in self.names for key in group.keys):
                own["param_names"] = [self.names[key] for key in group.keys]
            groups.append(own)
        return {
            "state": {numbered.get(key, key): dict(kept) for key, kept in self.state.items()},
            "param_groups": groups,
        }

    def name(self, key: Key) -> str:
        """What a tensor is called in a sentence."""
        return self.names.get(key) or (f"tensor {key}" if isinstance(key, int) else key)


@dataclass(frozen=True)
class Checkpoint:
    """All of it.

    Attributes
    ----------
    path : str
    kind : str
        Who writes such a file.
    optimizers : tuple of SavedOptimizer
    weights : mapping of qualified name to array
        The model's, in the order of the file; the largest model's where there are several.
    ordered : bool
        Whether that order is the model's.
    schedulers : mapping of path to a scheduler's state
    counters : mapping of path to a count of steps or epochs
    others : tuple of str
        What else was seen and plays no part in the judgement.
    log : sequence of mappings
        Lines of a log that a trainer keeps in its state.
    models : mapping of path to weights
        All models, the largest first.
    """

    path: str
    kind: str
    optimizers: tuple[SavedOptimizer, ...]
    weights: Mapping[str, Any] = field(default_factory=dict)
    ordered: bool = True
    schedulers: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    counters: Mapping[str, int] = field(default_factory=dict)
    others: tuple[str, ...] = ()
    log: tuple[Mapping[str, Any], ...] = ()
    models: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def places(self, optimizer: SavedOptimizer) -> dict[Key, str]:
        """Which weight each named tensor of an optimizer is."""
        return places(optimizer, self.weights)[0]

    def counts(self) -> Iterator[tuple[str, int]]:
        """Counters of steps, without those of epochs."""
        return ((path, n) for path, n in self.counters.items() if "epoch" not in path)


def places(saved: SavedOptimizer, weights: Mapping[str, Any]) -> tuple[dict[Key, str], str]:
    """Which weight each named tensor is, and the prefix that all names have on one side alone.

    Parts that wrappers of a model put into names do not count. Names that are keys of the state are taken as they are.
    """
    bare = {_unwrapped(name): name for name in weights}
    names = {key: _unwrapped(name) for key, name in saved.names.items()}
    found = {key: bare[name] for key, name in names.items() if name in bare}
    if not names or found or any(isinstance(key, str) for key in names):
        return found, ""
    first = next(iter(names.values()))
    for there in bare:
        for longer, shorter, cut in ((first, there, True), (there, first, False)):
            prefix = longer.removesuffix(f".{shorter}")
            if prefix != longer:
                under = {
                    key: name.removeprefix(f"{prefix}.") if cut else f"{prefix}.{name}" for key, name in names.items()
                }
                if all(name in bare and name != names[key] for key, name in under.items()):
                    return {key: bare[name] for key, name in under.items()}, prefix
    return {}, ""


def _unwrapped(name: str) -> str:
    """A name without the parts that DistributedDataParallel, torch.compile and FSDP put in."""
    return ".".join(p for p in name.split(".") if p not in ("module", "_orig_mod", "_fsdp_wrapped_module"))
