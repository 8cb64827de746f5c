"""What a sweep found, as arrays with named axes."""

from __future__ import annotations

import importlib
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..outputs import replace_all
from .axes import Axes

FILES = (".svg", ".png", ".html", ".json")


def needed(package: str, caller: str, extra: str = "tables") -> Any:
    """A package that is imported when it is asked for."""
    try:
        return importlib.import_module(package)
    except ModuleNotFoundError as error:
        if error.name != package:
            raise
        words = f"{caller} needs {package}, which is not installed: pip install 'lrtheory[{extra}]'"
        raise ModuleNotFoundError(words, name=package) from None


@dataclass(frozen=True, eq=False)
class Sweep:
    """Results of every run.

    Attributes
    ----------
    axes : axis -> its values
        The first dimensions of every array in ``values``, in this order.
    values : name -> array
        ``final_loss`` after the last step, on the last step's batch; ``diverged_at``, the first step (from 1) whose loss
        or parameters were not finite or whose loss exploded, 0 where there was none; ``loss``, with a last dimension over
        ``record``: the loss that each recorded step's gradient was taken of. Losses are not multiplied by ``loss_scale``.
    record : the recorded steps
    summaries : a ``Summary`` per parameter, arrays with the axes and ``record`` in front; ``None`` unless asked for
    evaluated : what ``evaluate`` gave, arrays with the axes in front; ``None`` unless asked for
    plan : per rule and batch size, how the runs were cut into tiles and how much memory they took, in words
    """

    axes: Mapping[str, np.ndarray]
    values: Mapping[str, np.ndarray]
    record: np.ndarray
    summaries: Any
    evaluated: Any
    plan: Mapping[str, str]
    columns: Mapping[str, np.ndarray]

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each axis."""
        return tuple(len(values) for values in self.axes.values())

    def table(self) -> dict[str, np.ndarray]:
        """One row a run, as columns: the numbers of the run, then what it left. See :meth:`to_pandas`."""
        flat = {name: self.values[name].reshape(-1) for name in ("final_loss", "diverged_at")}
        return {name: np.array(column) for name, column in self.columns.items()} | flat

    def to_pandas(self) -> Any:
        """The :meth:`table` as a ``pandas.DataFrame``. Raises ModuleNotFoundError without pandas."""
        return needed("pandas", "to_pandas").DataFrame(self.table())

    def to_xarray(self) -> Any:
        """Everything as an ``xarray.Dataset`` with the axes as dimensions, and ``step`` for what was recorded.

        ``evaluated`` and summaries are variables named by their paths: ``evaluated/…``, ``effective/parameter/figure``. What
        varies over a list of points is a coordinate of its axis ``run``. Raises ModuleNotFoundError without xarray.
        """
        import jax

        xarray, axes = needed("xarray", "to_xarray"), tuple(self.axes)
        found = {
            name: (axes if values.ndim == len(axes) else (*axes, "step"), values)
            for name, values in self.values.items()
        }
        for head, tree, more in (
            ("evaluated", self.evaluated, ()),
            ("effective", self.summaries, ("step", "quantile")),
        ):
            for path, x in jax.tree.leaves_with_path(tree):
                name = f"{head}/{jax.tree_util.keystr(path, simple=True, separator='/')}".rstrip("/")
                extra = more[: x.ndim - len(axes)]
                own = tuple(f"{name}/{i}" for i in range(x.ndim - len(axes) - len(extra)))
                found[name] = ((*axes, *extra, *own), x)
        listed = {name: ("run", column) for name, column in self.columns.items() if axes == ("run",)}
        return xarray.Dataset(found, {**self.axes, **listed, "step": self.record})

    def plot(self, out: str | Path, *, x: str | None = None, y: str | None = None, value: str = "final_loss") -> Path:
        """A picture of two axes: colour is the value, the median over all other axes; grey where a run diverged.

        Parameters
        ----------
        out : file to write, by its name an ``.svg``, ``.png``, ``.html`` or ``.json`` (a Vega-Lite specification)
        x, y : axes
            The first two that have more than one value, by default.
        value : one number a run
            ``final_loss``, or a name in ``evaluated``.

        Raises
        ------
        ValueError
            Without two such axes, for a value that is not one number a run, or another kind of file.
        ModuleNotFoundError
            Without altair or vl-convert.
        """
        long = [name for name, values in self.axes.items() if len(values) > 1]
        x = x or next((name for name in long if name != y), "")
        y = y or next((name for name in long if name != x), "")
        if x == y or not {x, y} <= {*self.axes}:
            raise ValueError(
                f"a plot needs two axes, and was given x={x!r} and y={y!r}: the sweep has {', '.join(self.axes)}"
            )
        known = {
            "final_loss": self.values["final_loss"],
            **(self.evaluated if isinstance(self.evaluated, Mapping) else {}),
        }
        known = {name: values for name, values in known.items() if values.shape == self.shape}
        if value not in known:
            raise ValueError(f"value={value!r} is no number of each run: there are {', '.join(known)}")
        if Path(out).suffix not in FILES:
            raise ValueError(f"{out}: the name of a picture ends in {', '.join(FILES)}")
        for package in ("altair", "vl_convert"):
            needed(package, "plot", "report")
        from ..pages.two_way import two_way

        places = [[*self.axes].index(name) for name in (x, y)]
        shown, failed = (
            np.moveaxis(values, places, [0, 1]).reshape(len(self.axes[x]), len(self.axes[y]), -1)
            for values in (known[value].astype(float), self.values["diverged_at"] != 0)
        )
        out, picture = Path(out), io.BytesIO() if Path(out).suffix == ".png" else io.StringIO()
        chart = two_way(x, y, value, self.axes[x].tolist(), self.axes[y].tolist(), shown, failed)
        chart.save(picture, format=out.suffix[1:])
        made = picture.getvalue()
        replace_all({out: made if isinstance(made, str) else lambda file: file.write(made)})
        return out

    def diverged(self) -> dict[str, np.ndarray]:
        """The rows of the table that diverged: which, and when."""
        table = self.table()
        return {name: column[table["diverged_at"] > 0] for name, column in table.items()}


def assemble(axes: Axes, record: tuple[int, ...], outcome: Any, plan: Mapping[str, str]) -> Sweep:
    """The results in the shape of the axes; ``outcome`` has one axis of runs in front."""
    import jax  # arrays are numpy's by now: only the tree is jax's

    shaped = jax.tree.map(lambda x: x.reshape(*axes.shape, *x.shape[1:]), outcome)
    values = {name: getattr(shaped, name) for name in ("final_loss", "diverged_at", "loss")}
    return Sweep(
        axes.coordinates, values, np.array(record, int), shaped.summaries, shaped.evaluated, plan, axes.columns
    )
