"""Which parameter becomes which, and how its axes turn: by name, never by guessing among what fits."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ..words import some
from .errors import PortError

#: What else than a dot makes a key a pattern.
_PATTERN = re.compile(r"[\\^$*+?{}()|\[\]]")


def _key(name: str) -> str:
    """A name whose parts are joined by dots: ``layers/0/w`` is ``layers.0.w``."""
    return name.replace("/", ".")


def last(name: str) -> str:
    """The last part of a name."""
    return _key(name).rpartition(".")[2]


def matched(own: Sequence[str], wanted: Sequence[str] | None, names: Any = None) -> dict[str, str]:
    """The target's name of each of the source's parameters.

    Parameters
    ----------
    own : names in the source
    wanted : names in the target, or None where they are what comes out
    names
        ``None`` for the same names, of which parts may be joined by a dot or a slash; a mapping of names, or of regular
        expressions for whole names, to what they become; a pair of pattern and replacement, or a list of such pairs; a list of
        names in the order of the source's; or a function.

    Raises
    ------
    PortError
        For names that are missing, extra, given to two, or never used.
    """
    renamed = _renamed(own, names)
    if wanted is not None:
        by_key = {_key(name): name for name in wanted}
        renamed = {name: new if new in wanted else by_key.get(_key(new), new) for name, new in renamed.items()}
    taken: dict[str, str] = {}
    for name, new in renamed.items():
        if new in taken:
            raise PortError(f"{taken[new]!r} and {name!r} both become {new!r}: give each a name of its own in names=")
        taken[new] = name
    if wanted is None:
        return renamed
    missing, extra = [n for n in wanted if n not in taken], [n for n in taken if n not in wanted]
    if missing or extra:
        told = [f"the target has {_shown(missing)}, which nothing becomes"] if missing else []
        told += (
            [f"{_shown([taken[n] for n in extra])} would be {_shown(extra)}, which the target lacks"] if extra else []
        )
        raise PortError(f"{'; '.join(told)}: say in names= what becomes what")
    return renamed


def _shown(names: Sequence[str]) -> str:
    return some(map(repr, names), 4)


def _renamed(own: Sequence[str], names: Any) -> dict[str, str]:
    if names is None:
        return {name: name for name in own}
    if callable(names):
        return {name: str(names(name)) for name in own}
    if isinstance(names, Mapping):
        rules = [(str(key), str(value)) for key, value in names.items()]
    elif len(names) == 2 and all(isinstance(n, str) for n in names) and _PATTERN.search(names[0]):
        rules = [(names[0], names[1])]
    elif all(isinstance(n, str) for n in names):
        if len(names) != len(own):
            raise PortError(f"names= has {len(names)} names in order, and there are {len(own)} parameters")
        return dict(zip(own, names, strict=True))
    else:
        rules = [(str(pattern), str(replacement)) for pattern, replacement in names]
    exact = {key: value for key, value in rules if key in own}
    patterns = [(key, value) for key, value in rules if key not in own]
    used, found = set[str](), {}
    for name in own:
        found[name] = exact.get(name, name)
        hits = ((key, value, _full(key, name)) for key, value in patterns if name not in exact)
        pattern, replacement, hit = next((hit for hit in hits if hit[2]), ("", "", None))
        if hit:
            used.add(pattern)
            try:
                found[name] = hit.expand(replacement)
            except (re.error, IndexError) as error:
                raise PortError(
                    f"names= makes {replacement!r} of {pattern!r}, which cannot be done: {error}"
                ) from error
    for key, _ in patterns:
        if key not in used and not _PATTERN.search(key):
            raise PortError(f"names= has {key!r}, which is no parameter of the source: it has {_shown(list(own))}")
    return found


def _full(pattern: str, name: str) -> re.Match[str] | None:
    if not _PATTERN.search(pattern):  # a name, in which a dot is a dot
        return re.fullmatch(re.escape(pattern), name) or re.fullmatch(re.escape(_key(pattern)), _key(name))
    try:
        return re.fullmatch(pattern, name)
    except re.error as error:
        raise PortError(f"names= has the pattern {pattern!r}, which cannot be read: {error}") from error


# --- layouts ---

LAYOUTS = ("same", "linear", "conv")


def _permutation(layout: Any, rank: int, from_torch: bool) -> tuple[int, ...]:
    """Axes of the source in the order of the target."""
    if layout == "same":
        return tuple(range(rank))
    if layout == "linear" and rank == 2:
        return (1, 0)
    if layout == "conv" and rank >= 3:
        space = tuple(range(2, rank)) if from_torch else tuple(range(rank - 2))
        return (*space, 1, 0) if from_torch else (rank - 1, rank - 2, *space)
    if isinstance(layout, (tuple, list)) and sorted(layout) == list(range(rank)):
        return tuple(layout)
    raise PortError(
        f"layout {layout!r} is none for {rank} axes: 'same', 'linear' (two axes, turned), 'conv' (torch's OIHW is HWIO "
        "elsewhere), or the source's axes in the target's order, as in (2, 3, 1, 0)"
    )


def axes(
    source: str,
    target: str,
    shape: tuple[int, ...],
    wanted: tuple[int, ...] | None,
    layout: Any,
    torch_is_source: bool | None,
) -> tuple[int, ...]:
    """The source's axes in the order of the target.

    Parameters
    ----------
    layout : what was said of it, or None
    torch_is_source : bool or None
        Which of both sides has torch's layout; ``None`` where neither or both have.

    Raises
    ------
    PortError
        Where the shape does not fit, or where more than one order of axes fits and none was said.
    """
    rank = len(shape)
    what = f"{source!r} of shape {shape} and {target!r}" + (f" of shape {wanted}" if wanted is not None else "")
    if layout is not None:
        if layout in LAYOUTS[1:] and torch_is_source is None:
            raise PortError(f"{what}: layout {layout!r} is between torch and another framework; give axes, or 'same'")
        found = _permutation(layout, rank, torch_is_source is not False)
        if wanted is not None and tuple(shape[i] for i in found) != wanted:
            raise PortError(f"{what}: with layout {layout!r} the shape would be {tuple(shape[i] for i in found)}")
        return found
    same = tuple(range(rank))
    if wanted is None or torch_is_source is None or rank < 2:
        if wanted not in (None, shape):
            raise PortError(f"{what} do not have one shape")
        return same
    torch_name, other = (source, target) if torch_is_source else (target, source)
    turned = _permutation("linear" if rank == 2 else "conv", rank, torch_is_source)
    fits, turned_fits = shape == wanted, tuple(shape[i] for i in turned) == wanted
    name = "linear" if rank == 2 else "conv"
    if last(torch_name) == "weight" and last(other) == "kernel":
        if turned_fits and not fits:
            return turned
        if fits:
            raise PortError(
                f"{what}: a weight of torch is a kernel with its axes turned, and {'both fit' if turned_fits else 'this one fits as it is'}: "
                f"say which, as in layouts={{{source!r}: {name!r}}} or 'same'"
            )
    elif fits and not (turned_fits and rank == 2 and last(torch_name) != last(other)):
        return same
    elif fits:
        raise PortError(
            f"{what} fit as they are and turned: say which, as in layouts={{{source!r}: 'same'}} or 'linear'"
        )
    hint = f"; it fits turned, if that is meant: layouts={{{source!r}: {name!r}}}" if turned_fits else ""
    raise PortError(f"{what} do not have one shape{hint}")


def said(layouts: Any, source: str, target: str) -> Any:
    """What was said of a parameter's layout, by its name on either side or by a pattern; one word for all is for all."""
    if layouts is None or isinstance(layouts, str):
        return layouts
    for key, layout in layouts.items():
        if any(_full(str(key), name) for name in (source, target)):
            return layout
    return None


def check_layouts(layouts: Any, names: Iterable[tuple[str, str]]) -> None:
    """Refuse a layout of what is no parameter."""
    pairs = list(names)
    for key in layouts if isinstance(layouts, Mapping) else ():
        if not any(_full(str(key), name) for pair in pairs for name in pair):
            raise PortError(f"layouts= has {key!r}, which is no parameter of either side")


def of_modules(model: Any) -> Callable[[str], Any]:
    """Layouts by the names of a torch module's parameters, for those that go into a kernel elsewhere."""
    import torch

    kinds = {torch.nn.Linear: "linear", torch.nn.Conv1d: "conv", torch.nn.Conv2d: "conv", torch.nn.Conv3d: "conv"}
    found = {}
    for path, module in model.named_modules():
        for kind, layout in kinds.items():
            if type(module) is kind and "weight" in dict(module.named_parameters(recurse=False)):
                found[f"{path}.weight" if path else "weight"] = layout
    return found.get
