"""What is read of a torch optimizer around a measured step: a sample of coordinates, and exact norms. Nothing is computed here.

Everything is read, and nothing written, so that the trajectory is the same bit for bit. At a step that is not measured each
of the two hooks makes one comparison. At a measured one, the sampled coordinates of a tensor's parameter (before and after),
gradient (after, as the step may make it) and state (before) are picked on its device, put together, and brought over in one
transfer a device.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .record import RecordWarning, Writer
from .torch_sample import Block, Places, is_sharded, plain_dtype, speaks

ELSEWHERE = "float64"
#: A norm reads a whole tensor, and may cost as much as a tenth of a step. Of tensors with more entries than these it is taken at
#: measured steps so many steps apart; between them the analysis estimates it from the sample.
LARGE, APART = 2**14, 20


def left_to_python(function: Any) -> Any:
    """A function that ``torch.compile`` leaves alone, at no cost: ``torch.compiler.disable`` takes some 7 µs at each call."""
    import torch

    try:
        from torch._dynamo.eval_frame import skip_code

        skip_code(function.__code__)
        function._torchdynamo_disable = True
    except ImportError:
        return torch.compiler.disable(function)
    return function


def is_fresh(optimizer: Any) -> bool:
    """Whether no step was taken: nothing is kept, or counts of 0 beside it, as Adagrad has from the start."""
    import torch

    counts = [kept.get("step") if isinstance(kept, Mapping) else None for kept in optimizer.state.values()]
    return all(count is not None and not torch.as_tensor(count).any() for count in counts)


class Recorder:
    """The two hooks of one optimizer.

    Parameters
    ----------
    number : int
        The optimizer's number in the record.
    names : mapping
        Parameter's ``id`` to its qualified name; others are called by their place.
    modules : mapping
        Parameter's ``id`` to the class of its module.
    kind : function
        Class and reason of an optimizer, as ``adopting`` reads them.
    """

    def __init__(
        self,
        number: int,
        name: str,
        optimizer: Any,
        writer: Writer | None,
        *,
        names: Mapping[int, str],
        modules: Mapping[int, str],
        every: int,
        sample: int,
        seed: int,
        kind: tuple[str, str],
        schedulers: Schedulers,
        on_measured: Callable[[], None] = lambda: None,
    ) -> None:
        self.number, self.optimizer, self.writer = number, optimizer, writer
        self.every, self.sample, self.seed = every, sample, seed
        self.step, self.due, self.skipped, self._normed = -1, 0, 0, -APART
        self.clips: list[tuple[float, Any, Any]] = []
        self._names, self._modules, self._on_measured = names, modules, on_measured
        self._tensors: list[tuple[int, Any, Places | None]] = []
        self._known: list[Any] = []
        self._next = 0
        self._block: Block | None = None
        self._told = set[str]()
        self._schedulers = schedulers
        if writer is not None:
            fresh = is_fresh(optimizer)
            writer.line("optimizer", optimizer=number, name=name, **{"class": kind[0]}, reason=kind[1], fresh=fresh)

    def hooks(self) -> tuple[Any, Any]:
        """The hooks before and after a step. Where it is compiled the graph ends at them, as no compiler can read them."""
        import torch

        disable: Any = torch.compiler.disable
        begin, finish = disable(self._begin_safely), disable(self._finish_safely)

        def before(optimizer: Any, args: Any, kwargs: Any) -> None:
            self.step += 1
            if self.step == self.due:
                begin()

        def after(optimizer: Any, args: Any, kwargs: Any) -> None:
            if self._block is not None:
                finish()

        return left_to_python(before), left_to_python(after)

    def _begin_safely(self) -> None:
        self._safely(self._begin)

    def _finish_safely(self) -> None:
        block, self._block = self._block, None
        if block is not None and block.step == self.step:  # else the step that it was begun for has failed
            self._safely(self._finish, block)

    @property
    def about_to_measure(self) -> bool:
        """Whether the next step will be measured."""
        return self.step + 1 == self.due

    def tell(self, text: str) -> None:
        """A line in the record that says what is missing, once."""
        if text not in self._told and self.writer is not None:
            self._told.add(text)
            self.writer.line("note", optimizer=self.number, step=self.step, text=text)

    def _safely(self, act: Callable[..., Any], *given: Any) -> None:
        import torch

        try:
            with torch.no_grad():
                act(*given)
        except Exception as error:
            import warnings

            self.due, self._block = -1, None
            text = f"step {self.step} could not be recorded ({type(error).__name__}: {error}); recording of optimizer "
            text += f"{self.number} stops, and training goes on"
            self.tell(text)
            warnings.warn(text, RecordWarning, stacklevel=4)

    def _begin(self) -> None:
        import torch

        self.due += self.every
        if torch.cuda.is_available() and torch.cuda.is_current_stream_capturing():
            self.tell(f"step {self.step} was captured into a CUDA graph: replayed steps call no hooks and are not seen")
            return
        self._planned()
        if self.writer is None and not any(is_sharded(p) for _, p, _ in self._tensors):
            return
        block = self._block = Block(self.step)
        if self.step >= self._normed + APART:
            self._normed = self.step
        kept = [(i, p, places) for i, p, places in self._tensors if places is not None]
        for i, p, places in kept:
            self._coordinates(block, i, "before", p, places)
            for key, value in (self.optimizer.state.get(p) or {}).items():
                self._state(block, i, key, value, places)
        self._norms(block, "param_norm", [(i, p) for i, p, _ in kept])

    def _finish(self, block: Block) -> None:
        gradients = []
        for i, p, places in self._tensors:
            if places is None:
                continue
            self._coordinates(block, i, "after", p, places)
            if p.grad is not None:
                gradients.append((i, p.grad))
                self._coordinates(block, i, "grad", p.grad, places)
        self._norms(block, "grad_norm", gradients)
        groups = self._groups(block)
        clips = self._clipped(block)
        if (found := getattr(self.optimizer, "found_inf", None)) is not None:
            block.add(0, "found_inf", found.reshape(1), ())
        entries, data = block.brought()
        if self.writer is not None:
            fields = {"numbers": block.numbers, "schedulers": self.schedules()}
            self.writer.step(
                entries, data, optimizer=self.number, step=self.step, groups=groups, clips=clips, skipped=self.skipped,
                **fields,
            )  # fmt: skip
            if self.writer.stopped and not any(is_sharded(p) for _, p, _ in self._tensors):
                self.due = -1
            self._on_measured()

    def _planned(self) -> None:
        """Number the tensors, anew where parameters are others than at the last measured step."""
        import torch

        present = [(g, p) for g, group in enumerate(self.optimizer.param_groups) for p in group["params"]]
        known = [(g, id(p), p.shape, p.dtype, p.device) for g, p in present]
        if known == self._known:
            return
        if self._known:
            self.tell(
                f"parameters changed before step {self.step}: those added or changed are recorded as new ones from there on"
            )
        kept = dict(zip(self._known, self._tensors, strict=True))
        self._known, self._tensors = known, []
        for place, (g, p) in enumerate(present):
            if (same := kept.pop(known[place], None)) is not None:
                self._tensors.append(same)
                continue
            i, self._next = self._next, self._next + 1
            name = self._names.get(id(p)) or self._own_name(g, p) or f"{place}"
            missing = "" if p.is_floating_point() else f"{plain_dtype(p)} is not a real floating-point dtype"
            if p.layout != torch.strided:
                missing = f"its layout is {p.layout}"
            places = None if missing else Places(name, p.shape, self.sample, self.seed)
            self._tensors.append((i, p, places))
            if self.writer is not None:
                self.writer.line(
                    "tensor", optimizer=self.number, tensor=i, name=name, shape=list(p.shape), dtype=plain_dtype(p),
                    group=g, count=places.count if places else 0, module=self._modules.get(id(p), ""), missing=missing,
                    sharded=is_sharded(p),
                )  # fmt: skip

    def _own_name(self, group: int, p: Any) -> str:
        """What the optimizer itself calls it, where it was given named parameters."""
        found = self.optimizer.param_groups[group]
        return next((n for n, q in zip(found.get("param_names", ()), found["params"], strict=False) if q is p), "")

    def _coordinates(self, block: Block, i: int, what: str, tensor: Any, places: Places) -> None:
        if is_sharded(tensor):
            block.share(tensor.device_mesh, i, what, places.pick_sharded(tensor), plain_dtype(tensor))
        elif tensor.is_sparse:
            block.add(i, what, places.pick_sparse(tensor))
        else:
            block.add(i, what, places.pick(tensor))

    def _state(self, block: Block, i: int, key: str, value: Any, places: Places) -> None:
        what = f"state/{key}"
        if isinstance(value, bool | int | float):
            block.numbers.setdefault(i, {})[key] = value
        elif not hasattr(value, "layout"):
            return
        elif tuple(value.shape) == places.shape and value.dim():
            self._coordinates(block, i, what, value, places)
        elif is_sharded(value):
            self.tell(f"state {key} is sharded and has another shape than its parameter: it is not recorded")
        elif value.numel() <= max(1, self.sample):
            block.add(i, what, value.detach().reshape(-1).clone(), value.shape)
        else:
            self.tell(f"state {key} is large and has another shape than its parameter: it is not recorded")

    def _norms(self, block: Block, what: str, tensors: Sequence[tuple[int, Any]]) -> None:
        """Exact norms, in float32 or wider; squares are summed over processes where tensors are sharded."""
        import torch

        apart: dict[Any, list[tuple[int, Any]]] = {}
        for i, tensor in tensors:
            if self.step != self._normed and tensor.numel() > LARGE:
                continue
            if is_sharded(tensor):
                square = torch.linalg.vector_norm(tensor.to_local(), dtype=torch.float64).square().reshape(1)
                square = square if speaks(tensor) else torch.zeros_like(square)
                block.share(tensor.device_mesh, i, what, square, ELSEWHERE, root=True)
            else:
                flat = tensor.coalesce().values() if tensor.is_sparse else tensor.detach()
                apart.setdefault((flat.device, flat.dtype), []).append((i, flat))
        for (_, dtype), found in apart.items():
            wide = dtype if dtype.itemsize >= 4 else torch.float32
            norms = torch._foreach_norm(  # type: ignore[attr-defined]
                [flat for _, flat in found], 2, dtype=wide
            )
            for (i, _), norm in zip(found, norms, strict=True):
                block.add(i, what, norm.reshape(1), ())

    def _groups(self, block: Block) -> list[dict[str, Any]]:
        found = []
        for g, group in enumerate(self.optimizer.param_groups):
            values: dict[str, Any] = {}
            for name, value in group.items():
                if name in ("params", "param_names"):
                    continue
                if hasattr(value, "layout"):
                    if value.numel() != 1:
                        continue
                    block.add(g, f"group/{name}", value.detach().reshape(1).clone(), ())
                    values[name] = None
                else:
                    values[name] = _json(value)
            found.append(values)
        return found

    def _clipped(self, block: Block) -> list[dict[str, Any]]:
        clips, self.clips = self.clips, []
        place = {id(p): i for i, p, _ in self._tensors}
        found = []
        for max_norm, norm, params in clips:
            tensors = [place[p] for p in params if p in place]
            if not tensors:
                continue
            norm = norm.full_tensor() if is_sharded(norm) else norm
            block.add(0, f"clip/{len(found)}", norm.detach().reshape(1), ())
            found.append({"max_norm": max_norm, "tensors": None if len(tensors) == len(place) else tensors})
        return found

    def schedules(self) -> list[dict[str, Any]]:
        """Where each scheduler of this optimizer stands."""
        return [
            {"kind": type(s).__name__, "steps": getattr(s, "last_epoch", None), "planned": _planned_steps(s)}
            for s in self._schedulers.of(self.optimizer)
        ]


class Schedulers:
    """The schedulers in this process, which nothing leads to from an optimizer: looked for among all objects, for at most one
    part in :attr:`SELDOM` of the time.
    """

    SELDOM = 200

    def __init__(self) -> None:
        self._found: list[Any] = []
        self._next = 0.0

    def of(self, optimizer: Any) -> list[Any]:
        """Those that move an optimizer's lr, without those that others are made of."""
        now = time.monotonic()
        if now >= self._next:
            from torch.optim.lr_scheduler import LRScheduler

            found = [o for o in gc.get_objects() if issubclass(type(o), LRScheduler)]
            inner = {id(part) for o in found for part in getattr(o, "_schedulers", ())}
            self._found = [o for o in found if id(o) not in inner]
            after = time.monotonic()
            self._next = after + self.SELDOM * (after - now)
        return [s for s in self._found if getattr(s, "optimizer", None) is optimizer]


def _planned_steps(scheduler: Any) -> int | None:
    """After how many of its steps a schedule is over, where it says so."""
    for name in ("total_steps", "T_max", "total_iters"):
        if isinstance(getattr(scheduler, name, None), int):
            return getattr(scheduler, name)
    return None


def _json(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list | tuple):
        return [_json(entry.item() if hasattr(entry, "item") else entry) for entry in value]
    return repr(value)
