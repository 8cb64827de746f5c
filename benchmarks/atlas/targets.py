"""What is public: the classes of the pinned packages, torch and transformers, optax's factories and our own rules."""

from __future__ import annotations

import contextlib
import importlib.util
import inspect
import io
import pkgutil
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from importlib.metadata import distribution, version
from pathlib import Path
from typing import Any

from .uses import BESIDE, USES

ROOT = Path(__file__).parents[2]
PINNED = Path(__file__).with_name("packages.txt")
PACKAGES = ROOT / ".atlas" / "site-packages"
#: What some classes insist on though their signature has it optional, or for want of a default.
ARGUMENTS: Mapping[str, Mapping[str, Any]] = {
    "ivon.IVON": {"ess": 1e3},
    # how long a training is
    "ranger21.Ranger21": {"num_epochs": 10, "num_batches_per_epoch": 10},
    "ranger21.Ranger21abel": {"num_epochs": 10, "num_batches_per_epoch": 10},
    # of parameters of about 1, those under the threshold move; by default the lr is made of it
    "pytorch_optimizer.SaRA": {"threshold": 1.0, "lr": 1e-3},
    # parameters come in pairs whose product stands for a matrix
    "pytorch_optimizer.LoRARite": {"shapes": {"left": (2, 4), "right": (3, 2)}},
}
#: Read from the project's own environment.
OWN = ("lrtheory", "keras", "optax", "optax.contrib", "torch", "transformers")
#: Classes of optimizers by their bases alone, with the reason why they are not listed.
NOT_LISTED: Mapping[str, str] = {
    "transformers.optimization.LayerWiseDummyOptimizer": "its step does nothing: each layer has an optimizer of its own",
    **dict.fromkeys(
        (
            *(f"heavyball.{name}" for name in ("PSGDBase", "SOAPBase", "utils.StatefulOptimizer")),
            *(f"heavyball.chainable.{name}" for name in ("BaseOpt", "ChainOpt", "MSAM", "ScheduleFree")),
            "optimi.adam.OptimiOptimizer",
        ),
        "the base of others",
    ),
}
#: Why what optax offers beside optimizers is read, and not counted among them.
PARTS = "what has no learning rate of its own: it rescales, clips, masks or combines gradients, and is a part of an optimizer"


@dataclass(frozen=True)
class Subject:
    """One optimizer: what returns its units, and what makes the target of checks with its arguments, of this kind."""

    infer: Callable[[], Any]
    target: Callable[[], tuple[Any, Mapping[str, Any]]]
    kind: str = "jax"
    beside: tuple[str, ...] = ()  # checks that would speak of what we put around it


def pinned() -> dict[str, str]:
    """Distributions and their versions."""
    return dict(re.findall(r"^([\w.-]+)==(\S+)$", PINNED.read_text(), re.MULTILINE))


def distributions() -> tuple[str, ...]:
    """All that the atlas reads."""
    return (*OWN, *pinned())


def version_of(name: str) -> str:
    """The version that is installed."""
    return "" if name == "lrtheory" else version(name.partition(".")[0]).partition("+")[0]


def look_up() -> None:
    """Packages of the atlas can be imported, after those of the project."""
    if str(PACKAGES) not in sys.path:
        sys.path.append(str(PACKAGES))


def targets(name: str) -> dict[str, Subject]:
    """Of a distribution, by the name that is printed. Raises ImportError."""
    from lrtheory.dims import infer

    if name == "keras":
        from . import keras

        return {
            f"keras.optimizers.{n}": Subject(
                lambda n=n: _of_keras(n), lambda n=n: keras.factory(n), beside=keras.BESIDE
            )
            for n in keras.names()
        }
    if name == "lrtheory":
        from lrtheory import rules

        made = {n: getattr(rules, n) for n in rules.names()}
        return {f"lrtheory.rules.{n}": Subject(lambda r=r: infer(r()), lambda r=r: (r(), {})) for n, r in made.items()}
    if name in ("optax", "optax.contrib", "torch"):
        from lrtheory.dims.audit import targets as audited
        from lrtheory.dims.target import infer_target

        kind = "torch" if name == "torch" else "jax"
        return {
            n: Subject(lambda text=text: infer_target(text), lambda text=text: _text(text), kind)
            for n, text in audited(name).items()
        }
    return {
        n: Subject(
            lambda n=n, cls=cls: _of_class(n, cls),
            lambda n=n, cls=cls: _to_check(n, cls),
            "torch",
            BESIDE if n in USES else (),
        )
        for n, cls in sorted(_classes(name).items())
        if n not in NOT_LISTED
    }


def parts() -> set[str]:
    """Names of what optax offers beside optimizers."""
    import optax.contrib

    from lrtheory.dims.audit import targets as audited
    from lrtheory.dims.optax_reader.infer import is_optimizer

    modules = {"optax": optax, "optax.contrib": optax.contrib}
    return {
        n
        for library, module in modules.items()
        for n in audited(library)
        if not is_optimizer(getattr(module, n.rpartition(".")[2]))
    }


def _of_keras(name: str) -> Any:
    from lrtheory.dims import infer

    from . import keras

    make, numbers = keras.factory(name)
    return infer(make, hyper=numbers)


def _text(text: str) -> tuple[str, Mapping[str, Any]]:
    from lrtheory.dims.audit import COMBINED
    from lrtheory.dims.target import TargetError

    if text.startswith(COMBINED):
        raise TargetError("it is read within a composition of ours, and what is checked would be that")
    return text, {}


def _of_class(name: str, cls: type) -> Any:
    from lrtheory.dims import infer

    _alone(cls)
    use = USES.get(name)
    found = infer(use(cls) if use else cls, **ARGUMENTS.get(name, {}))
    return replace(found, notes=(*found.notes, f"how it is used here: {use.__doc__}")) if use else found


def _to_check(name: str, cls: type) -> tuple[Any, Mapping[str, Any]]:
    """With what the units were read with, where the class insists on arguments."""
    _alone(cls)
    arguments, use = {n: x for n, x in ARGUMENTS.get(name, {}).items() if n != "shapes"}, USES.get(name)
    return use(cls) if use else cls, arguments


def _alone(cls: type) -> None:
    """One that gathers from other processes is in a group of this one alone."""
    if any(_is_of_processes(x) for base in cls.__mro__ for x in vars(sys.modules[base.__module__]).values()):
        import torch.distributed as dist
        from torch._C._distributed_c10d import HashStore

        if not dist.is_initialized():
            dist.init_process_group("gloo", store=HashStore(), rank=0, world_size=1)


def _is_of_processes(x: Any) -> bool:
    name = x.__name__ if inspect.ismodule(x) else getattr(x, "__module__", None)
    return isinstance(name, str) and name.startswith("torch.distributed")


def _classes(name: str) -> dict[str, type]:
    """Optimizers that a distribution defines, each under its shortest public name."""
    import torch

    found: dict[type, str] = {}
    tops = ["transformers"] if name == "transformers" else _tops(name)
    for top in tops:
        for module in _modules(top):
            for attribute, value in vars(module).items():
                if not (isinstance(value, type) and issubclass(value, torch.optim.Optimizer)):
                    continue
                if (
                    value.__module__.partition(".")[0] not in tops
                    or attribute.startswith("_")
                    or inspect.isabstract(value)
                ):
                    continue
                full = f"{module.__name__}.{attribute}"
                found[value] = min(found.get(value, full), full, key=lambda n: (n.count("."), n))
    return {full: cls for cls, full in found.items()}


def _tops(name: str) -> list[str]:
    files = distribution(name).files or []
    return sorted(
        {
            f.parts[0].removesuffix(".py")
            for f in files
            if f.suffix == ".py" and not f.parts[0].startswith((".", "test", "setup"))
        }
    )


def _modules(top: str) -> list[Any]:
    """A package with all modules of it that can be imported; of timm and transformers those with optimizers."""
    start = {"timm": "timm.optim", "transformers": "transformers.optimization"}.get(top, top)
    modules = []
    with contextlib.redirect_stdout(io.StringIO()):
        try:
            modules.append(importlib.import_module(start))
        except ImportError:  # a package that wants more than torch: its modules may not
            spec = importlib.util.find_spec(top)
            if spec is None or not spec.submodule_search_locations:
                raise
            folder = Path(next(iter(spec.submodule_search_locations)))
            for name in dict.fromkeys((top, start)):
                module = type(sys)(name)
                module.__path__ = [str(folder.joinpath(*name.split(".")[1:]))]
                sys.modules[name] = module
            modules.append(sys.modules[start])
        for info in pkgutil.walk_packages(getattr(modules[0], "__path__", []), f"{start}.", onerror=lambda _: None):
            with contextlib.suppress(BaseException):
                modules.append(importlib.import_module(info.name))
    return modules
