"""Trainings of plain loops: torch's, and those of pure functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax

from .pieces import put, taken
from .training import Random, copied


def _one_way(saved: Sequence[str] | None, save: Any) -> None:
    if saved is not None and save is not None:
        raise TypeError("saved= and save= both say what is saved: give one of them")


def _names(saved: Sequence[str] | None, pieces: Mapping[str, Any]) -> tuple[str, ...]:
    """What is saved: all of the pieces unless it is said."""
    given = (saved,) if isinstance(saved, str) else tuple(pieces if saved is None else saved)
    if unknown := sorted(set(given) - set(pieces)):
        raise ValueError(f"saved has {unknown[0]!r}, which is no piece: there are {', '.join(pieces)}")
    return given


class TorchLoop:
    """A loop of torch.

    Parameters
    ----------
    step : function of i
        Takes step ``i``.
    model : torch module
    saved : names, optional
        What the training saves; unless given, all of it. ``"random numbers"`` are the generators of the process.
    save, load : functions, optional
        The training's own: ``save()`` gives what is written, ``load(written)`` goes on from it. In place of ``saved``.
    **pieces
        All else with ``state_dict()`` and ``load_state_dict()``: ``optimizer=``, ``scheduler=``, ``scaler=``, ``ema=``, ``data=``.
    """

    def __init__(
        self,
        step: Callable[[int], Any],
        *,
        model: Any,
        saved: Sequence[str] | None = None,
        save: Callable[[], Any] | None = None,
        load: Callable[[Any], Any] | None = None,
        **pieces: Any,
    ) -> None:
        if (save is None) != (load is None):
            raise TypeError("TorchLoop takes save= and load= together")
        _one_way(saved, save)
        for name, piece in pieces.items():
            if not (hasattr(piece, "state_dict") and hasattr(piece, "load_state_dict")):
                raise TypeError(
                    f"{name}= is a {type(piece).__name__} without state_dict() and load_state_dict(): give it both, or leave it out"
                )
        self._step, self._model, self._save, self._load = step, model, save, load
        self._pieces = {"model": model, **pieces}
        every = {**self._pieces, "random numbers": Random()}
        self._saved = {name: every[name] for name in _names(saved, every)}

    def step(self, i: int) -> None:
        """Take step ``i``."""
        self._step(i)

    def state(self) -> Any:
        """What is saved."""
        return self._save() if self._save is not None else taken(self._saved)

    def load(self, state: Any) -> None:
        """Go on from it."""
        if self._load is not None:
            self._load(state)
            return
        for name, held in state.items():
            put(self._saved[name], held)

    def params(self) -> Mapping[str, Any]:
        """Of the model, buffers among them."""
        return self._model.state_dict()

    def pieces(self) -> Mapping[str, Any]:
        """All that was given."""
        return self._pieces


class PureLoop:
    """A loop of pure functions: optax, flax, our rules, or NumPy alone.

    Parameters
    ----------
    step : function of (i, pieces) that returns the pieces after step ``i``, or those that changed
    pieces : mapping of name to pytree
        Such as ``params``, ``opt_state``, ``key``; the weights are called ``params`` or ``model``.
    saved : names, optional
        What the training saves; unless given, all of it.
    save, load : functions, optional
        The training's own: ``save(pieces)`` gives what is written, ``load(written, pieces)`` the pieces that come of it.
    """

    def __init__(
        self,
        step: Callable[[int, dict[str, Any]], Mapping[str, Any]],
        pieces: Mapping[str, Any],
        *,
        saved: Sequence[str] | None = None,
        save: Callable[[dict[str, Any]], Any] | None = None,
        load: Callable[[Any, dict[str, Any]], Mapping[str, Any]] | None = None,
    ) -> None:
        _one_way(saved, save)
        self.held = dict(pieces)
        names = _names(saved, pieces)
        self._step = step
        self._save = save or (lambda held: {name: held[name] for name in names})
        self._load = load or (lambda written, held: written)

    def step(self, i: int) -> None:
        """Take step ``i``."""
        self.held |= self._step(i, dict(self.held))

    def state(self) -> Any:
        """What is saved."""
        return self._save(dict(self.held))

    def load(self, state: Any) -> None:
        """Go on from it."""
        self.held |= self._load(state, dict(self.held))

    def params(self) -> Mapping[str, Any]:
        """The weights by the path to each."""
        name = next((n for n in ("params", "model", "weights") if n in self.held), next(iter(self.held)))
        leaves = jax.tree_util.tree_flatten_with_path(self.held[name])[0]
        return {jax.tree_util.keystr(path, simple=True, separator="/") or name: leaf for path, leaf in leaves}

    def pieces(self) -> Mapping[str, Any]:
        """Each of them."""
        return {name: _Held(self.held, name) for name in self.held}


class _Held:
    """One piece of a loop of pure functions."""

    def __init__(self, held: dict[str, Any], name: str) -> None:
        self.held, self.name = held, name

    def state_dict(self) -> Any:
        """Its value."""
        return copied(self.held[self.name])

    def load_state_dict(self, value: Any) -> None:
        """Another in its place."""
        self.held[self.name] = value
