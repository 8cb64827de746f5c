"""The recorder reads and writes nothing: trajectories stay the same, whatever the training does."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from watched_runs import batch, run_of, train

import lrtheory
from lrtheory.watching.record import Record
from lrtheory.watching.torch_sample import Places

STEPS = 12

OPTIMIZERS: dict[str, Callable[[Any], Any]] = {
    "adamw-loop": lambda p: torch.optim.AdamW(p, lr=1e-2, foreach=False),
    "adamw-foreach": lambda p: torch.optim.AdamW(p, lr=1e-2, foreach=True, amsgrad=True),
    "adamw-fused": lambda p: torch.optim.AdamW(p, lr=1e-2, fused=True),
    "adam-tensor-lr": lambda p: torch.optim.Adam(p, lr=torch.tensor(1e-2), capturable=False, foreach=False),
    "sgd-nesterov": lambda p: torch.optim.SGD(p, lr=1e-2, momentum=0.9, nesterov=True, weight_decay=1e-2),
    "sgd-fused": lambda p: torch.optim.SGD(p, lr=1e-2, fused=True),
    "rmsprop": lambda p: torch.optim.RMSprop(p, lr=1e-3, centered=True, momentum=0.5),
    "adafactor": lambda p: torch.optim.Adafactor(p, lr=1e-2),
    "lbfgs": lambda p: torch.optim.LBFGS(p, lr=1e-2, max_iter=2),
}


def same(a: Any, b: Any) -> None:
    """Bit for bit, in everything that a checkpoint keeps."""
    assert type(a) is type(b)
    if isinstance(a, torch.Tensor):
        assert a.dtype == b.dtype
        assert torch.equal(a, b)
    elif isinstance(a, dict):
        assert list(a) == list(b)
        for key in a:
            same(a[key], b[key])
    elif isinstance(a, list | tuple):
        for x, y in zip(a, b, strict=True):
            same(x, y)
    else:
        assert a == b


def closure(model: Any, optimizer: Any, step: int) -> Callable[[], Any]:
    def loss() -> Any:
        x, y = batch(step)
        optimizer.zero_grad()
        found = torch.nn.functional.cross_entropy(model(x), y)
        found.backward()
        return found

    return loss


@contextlib.contextmanager
def watching(on: bool, *given: Any, **settings: Any) -> Iterator[Any]:
    if not on:
        yield None
        return
    with lrtheory.watch(*given, **settings) as watch:
        yield watch


@pytest.mark.parametrize("every", [1, 5])
@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_watching_changes_no_bit(kind: str, every: int, model: Any, tmp_path: Any) -> None:
    ends = []
    for on in (False, True):
        own = copy.deepcopy(model)
        optimizer = OPTIMIZERS[kind](own.parameters())
        torch.manual_seed(1)  # of dropout
        with watching(on, optimizer, model=own, every=every, sample=50, out=tmp_path / "run"):
            for step in range(STEPS):
                loss = closure(own, optimizer, step)
                loss()
                torch.nn.utils.clip_grad_norm_(own.parameters(), 0.5)
                optimizer.step(loss) if kind == "lbfgs" else optimizer.step()
        ends.append((own.state_dict(), optimizer.state_dict(), torch.get_rng_state()))
        assert not optimizer._optimizer_step_pre_hooks
    same(*ends)
    record = Record(tmp_path / "run")
    assert [step.number for step in record.steps] == list(range(0, STEPS, every))


def test_step_between_measurements_makes_one_comparison(model: Any, tmp_path: Any) -> None:
    """It calls nothing and reads nothing of the optimizer."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with lrtheory.watch(optimizer, every=100, out=tmp_path / "run") as watch:
        train(model, optimizer, 2)
        (recorder,) = watch.recorders
        recorder.optimizer = None
        train(model, optimizer, 5)
        recorder.optimizer = optimizer
        assert (recorder.step, recorder.due) == (6, 100)


@pytest.mark.parametrize("shape", [(), (0,), (5,), (40, 30), (7, 3, 4, 4)])
@pytest.mark.parametrize("layout", ["contiguous", "transposed"])
def test_sample_is_fixed_and_the_same_in_every_layout(shape: tuple[int, ...], layout: str) -> None:
    full = torch.randn(shape)
    places, again = Places("w", shape, 50, 0), Places("w", shape, 50, 0)
    given = full
    if layout == "transposed" and len(shape) > 1:
        given = full.permute(*reversed(range(full.dim()))).contiguous().permute(*reversed(range(full.dim())))
    expected = full[tuple(torch.as_tensor(a) for a in places.at)].reshape(-1) if shape else full.reshape(1)
    assert torch.equal(places.pick(given), expected)
    assert torch.equal(again.pick(given[...]), expected)
    assert places.count == min(50, full.numel())
    if full.numel() > 50:
        other = Places("v", shape, 50, 0)
        assert not all(np.array_equal(a, b) for a, b in zip(places.at, other.at, strict=True))
    sliced = torch.stack([full, full])[1]
    assert torch.equal(places.pick(sliced), expected)


@pytest.mark.parametrize("sparse_dim", [1, 2])
def test_sample_of_a_sparse_gradient_is_that_of_the_dense_one(sparse_dim: int) -> None:
    dense = torch.randn(60, 5) * (torch.arange(60) % 3 == 0)[:, None]
    places = Places("w", (60, 5), 100, 0)
    picked = places.pick_sparse(dense.to_sparse(sparse_dim))
    assert torch.equal(picked, places.pick(dense))
    assert (picked != 0).any()
    assert torch.equal(places.pick_sparse(torch.zeros(60, 5).to_sparse(sparse_dim)), torch.zeros(100))


def test_sampled_figures_are_those_of_the_coordinates(model: Any, tmp_path: Any) -> None:
    """A large tensor is measured at its sample, and its norm is exact."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    with lrtheory.watch(optimizer, model=model, every=1, sample=50, out=tmp_path / "run") as watch:
        train(model, optimizer, 2)
        norm = float(model[0].weight.detach().norm())
        train(model, optimizer, 1)
        kept, places = optimizer.state[model[0].weight], watch.recorders[0]._tensors[0][2]
        root = places.pick((kept["exp_avg_sq"] / (1 - 0.999**3)).sqrt())
    (found,) = run_of(watch).optimizers
    assert found.tensors[0]["sampled"] == [50, 144]
    e = 1e-2 / (root.double() + 1e-8)
    np.testing.assert_allclose(found.figures["maximum"][2, 0], e.max(), rtol=1e-5)
    np.testing.assert_allclose(found.figures["mean"][2, 0], e.mean(), rtol=1e-5)
    np.testing.assert_allclose(found.figures["param_norm"][2, 0], norm, rtol=1e-6)


@pytest.mark.parametrize("by_name", [False, True])
def test_clipping_is_seen_however_its_function_was_imported(by_name: bool, model: Any, tmp_path: Any) -> None:
    from torch.nn.utils import clip_grad_norm_

    before = torch.nn.utils.clip_grad._clip_grads_with_norm_
    clip = clip_grad_norm_ if by_name else lambda *given: torch.nn.utils.clip_grad_norm_(*given)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-2)
    norms = []
    with lrtheory.watch(optimizer, model=model, every=2, out=tmp_path / "run") as watch:
        train(model, optimizer, 7, before_step=lambda: norms.append(float(clip(model.parameters(), 0.01))))
    (found,) = run_of(watch).optimizers
    factors = 0.01 / (np.array(norms[::2]) + 1e-6)
    np.testing.assert_allclose(found.figures["clip_factor"], np.tile(factors[:, None], 6), rtol=1e-6)
    assert torch.nn.utils.clip_grad._clip_grads_with_norm_ is before


def test_clip_of_some_parameters_is_theirs(model: Any, tmp_path: Any) -> None:
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-2)

    def clip() -> None:  # a loose one first: the one that clips hardest is told
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1e3)
        torch.nn.utils.clip_grad_norm_(model[0].parameters(), 1e-3)

    with lrtheory.watch(optimizer, model=model, every=1, out=tmp_path / "run") as watch:
        train(model, optimizer, 2, before_step=clip)
    (found,) = run_of(watch).optimizers
    factors = found.figures["clip_factor"][1]
    assert (factors[:2] < 0.1).all()
    assert np.isnan(factors[2:]).all() or (factors[2:] == 1).all()
    np.testing.assert_array_equal(found.groups["max_norm"], 1e-3)


@pytest.mark.parametrize("fused", [False, True])
def test_steps_that_a_scaler_skips_are_counted_as_skipped(fused: bool, model: Any, tmp_path: Any) -> None:
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, fused=fused)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**4, growth_interval=1000)
    plain, infinite = {}, {3, 4, 8}
    with lrtheory.watch(optimizer, model=model, every=1, out=tmp_path / "run") as watch:
        for step in range(11):
            optimizer.zero_grad()
            x, y = batch(step)
            scaler.scale(torch.nn.functional.cross_entropy(model(x), y)).backward()
            plain[step] = float(model[0].weight.grad.norm()) / scaler.get_scale()
            if step in infinite:
                model[0].weight.grad[0, 0] = float("inf")
            scaler.step(optimizer)
            scaler.update()
    (found,) = run_of(watch).optimizers
    assert found.skipped == 3
    done = [step for step in plain if step not in infinite]
    seen = found.figures["grad_norm"][:, 0]
    np.testing.assert_allclose(seen[~np.isnan(seen)], [plain[step] for step in done], rtol=1e-5)


def test_accumulated_gradients_are_measured_at_the_step(model: Any, tmp_path: Any) -> None:
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-2)
    with lrtheory.watch(optimizer, model=model, every=1, out=tmp_path / "run") as watch:
        for micro in range(4):
            x, y = batch(micro)
            (torch.nn.functional.cross_entropy(model(x), y) / 2).backward()
            if micro % 2:
                norm = float(model[0].weight.grad.norm())
                optimizer.step()
                optimizer.zero_grad()
    (found,) = run_of(watch).optimizers
    assert found.taken == 2
    np.testing.assert_allclose(found.figures["grad_norm"][1, 0], norm, rtol=1e-6)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch about itself
def test_compiled_step_is_seen(model: Any, tmp_path: Any) -> None:
    ends = []
    for on in (False, True):
        own = copy.deepcopy(model)
        optimizer = torch.optim.AdamW(own.parameters(), lr=1e-2)
        torch.compiler.reset()
        with watching(on, optimizer, model=own, every=2, out=tmp_path / "run") as watch:
            step = torch.compile(lambda own=optimizer: own.step(), backend="eager")
            torch.manual_seed(1)
            for number in range(5):
                x, y = batch(number)
                own.zero_grad()
                torch.nn.functional.cross_entropy(own(x), y).backward()
                step()
        ends.append(own.state_dict())
    same(*ends)
    (found,) = run_of(watch).optimizers
    assert found.steps.tolist() == [0, 2, 4]


def test_several_optimizers_and_those_stepped_inside_backward(model: Any, tmp_path: Any) -> None:
    optimizers = {name: torch.optim.SGD([p], lr=1e-2) for name, p in model.named_parameters()}
    for name, p in model.named_parameters():

        def act(p: Any, own: Any = optimizers[name]) -> None:
            own.step()
            own.zero_grad()

        p.register_post_accumulate_grad_hook(act)
    with lrtheory.watch(optimizers, model=model, every=2, out=tmp_path / "run") as watch:
        for step in range(4):
            x, y = batch(step)
            torch.nn.functional.cross_entropy(model(x), y).backward()
    run = run_of(watch)
    assert [w.name for w in run.optimizers] == list(optimizers)
    assert [w.tensors[0]["name"] for w in run.optimizers] == list(optimizers)
    assert all(np.isfinite(w.figures["relative_update"][:, 0]).all() for w in run.optimizers if "weight" in w.name)
    assert run.coverage == {"outside": [], "twice": []}


def test_norms_of_large_tensors_are_exact_some_steps_apart_and_estimated_between(tmp_path: Any) -> None:
    model = torch.nn.Linear(600, 500)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9)
    true: list[list[float]] = []
    with lrtheory.watch(optimizer, model=model, every=1, sample=1024, out=tmp_path / "run") as watch:
        for step in range(23):
            optimizer.zero_grad()
            model(torch.randn(8, 600, generator=torch.Generator().manual_seed(step))).square().sum().backward()
            true.append([float(model.weight.detach().norm()), float(model.weight.grad.norm())])
            optimizer.step()
    (found,) = run_of(watch).optimizers
    seen = np.stack([found.figures["param_norm"][:, 0], found.figures["grad_norm"][:, 0]], 1)
    exact = [0, 20]
    np.testing.assert_allclose(seen[exact], np.array(true)[exact], rtol=1e-5)
    # the norm of n of N drawn entries is off by some 1/sqrt(2 n): 2 % here, more where the entries are not alike
    off = np.abs(seen / np.array(true) - 1)
    assert off.max() < 0.3
    assert np.count_nonzero(off > 1e-5) > 30  # they are estimates: the exact ones are left out


@pytest.mark.parametrize("rows", [0, 1])
def test_sample_of_zeros_is_no_gradient_of_zero(rows: int, tmp_path: Any) -> None:
    """One row of a large table has a gradient, and the sample misses it: only a table whose norm is 0 has none."""
    torch.manual_seed(0)
    table = torch.nn.Embedding(400, 100)
    optimizer = torch.optim.SGD(table.parameters(), lr=1e-2, momentum=0.9, weight_decay=1e-2)
    with lrtheory.watch(optimizer, model=table, every=1, sample=16, out=tmp_path / "run") as watch:
        for _ in range(30):
            optimizer.zero_grad()
            (table(torch.zeros(1, dtype=torch.long)).sum() * rows).backward()
            optimizer.step()
        raised = "moves-without-gradient" in [finding.id for finding in watch.findings()]
    (found,) = run_of(watch).optimizers
    assert np.isnan(found.figures["grad_norm"][1, 0])  # the sample is all 0, and says nothing
    assert raised is (rows == 0)
