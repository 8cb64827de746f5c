"""Resumes of a torch loop and of an optax loop: a sound one is equal bit for bit, and a piece that is lost is named."""

from __future__ import annotations

import copy
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import torch

import parity
from parity.resume import PureLoop, TorchLoop, verify_resume

PIECES = ("model", "optimizer", "scheduler", "ema", "data", "random numbers")


class Averaged:
    """An exponential average of the weights, towards which the weights are pulled."""

    def __init__(self, net):
        self.net, self.average = net, [p.detach().clone() for p in net.parameters()]

    def step(self):
        with torch.no_grad():
            for mean, p in zip(self.average, self.net.parameters(), strict=True):
                mean.lerp_(p, 0.1)
                p.lerp_(mean, 0.01)

    def state_dict(self):
        return {"average": self.average}

    def load_state_dict(self, state):
        self.average = [each.clone() for each in state["average"]]


class Rows:
    """Batches in an order of its own."""

    def __init__(self):
        self.at = 0

    def next(self):
        self.at += 1
        return slice(7 * self.at % 40, 7 * self.at % 40 + 8)

    def state_dict(self):
        return {"at": self.at}

    def load_state_dict(self, state):
        self.at = state["at"]


def torch_run(**how):
    """A build of a loop with dropout, a schedule, an average and data."""

    def build():
        torch.manual_seed(0)
        net = torch.nn.Sequential(torch.nn.Linear(5, 6), torch.nn.Dropout(0.3), torch.nn.Linear(6, 3))
        optimizer = torch.optim.AdamW(net.parameters(), lr=1e-2)
        scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 4, gamma=0.5)
        x, y, ema, data = torch.randn(48, 5), torch.randint(3, (48,)), Averaged(net), Rows()

        def step(i):
            rows = data.next()
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(net(x[rows]), y[rows]).backward()
            optimizer.step()
            scheduler.step()
            ema.step()

        made = SimpleNamespace(net=net, optimizer=optimizer, scheduler=scheduler)
        own = {name: make(made) if name in ("save", "load") else make for name, make in how.items()}
        return TorchLoop(step, model=net, optimizer=optimizer, scheduler=scheduler, ema=ema, data=data, **own)

    return build


def test_sound_resume_is_equal_and_each_piece_is_seen_to_act():
    found = verify_resume(torch_run(), 18, 7)
    found.require()
    assert found.equal
    assert found.repeated is None
    assert found.lost == ()
    assert set(found.without) == set(PIECES) - {"model"}
    assert all(left is not None and left.step == 8 for name, left in found.without.items() if name != "scheduler")
    assert found.without["scheduler"].step > 8
    assert "bit for bit" in str(found)


@pytest.mark.parametrize("piece", PIECES[1:])
def test_piece_of_a_torch_loop_that_is_not_saved_is_named(piece):
    found = verify_resume(torch_run(saved=[name for name in PIECES if name != piece]), 18, 7)
    assert not found.equal
    with pytest.raises(AssertionError, match="the run is another"):
        found.require()
    (named, *more) = found.makes_the_difference
    assert named.partition(".")[0] == piece, str(found)
    assert piece == "optimizer" or not more


def losing(slot):
    """A save that keeps all of the optimizer but one slot, and a load to match."""

    def save(made):
        def saved():
            state = copy.deepcopy(made.optimizer.state_dict())
            for kept in state["state"].values():
                kept[slot].zero_()
            everything = {"model": made.net, "scheduler": made.scheduler, "random": parity.resume.Random()}
            return {"optimizer": state, **{name: copy.deepcopy(each.state_dict()) for name, each in everything.items()}}

        return saved

    def load(made):
        def loaded(written):
            made.net.load_state_dict(written["model"])
            made.optimizer.load_state_dict(written["optimizer"])
            made.scheduler.load_state_dict(written["scheduler"])
            parity.resume.Random().load_state_dict(written["random"])

        return loaded

    return {"save": save, "load": load}


def plain_run(**how):
    """The same without average and data, so that one slot alone is lost."""

    def build():
        torch.manual_seed(0)
        net = torch.nn.Sequential(torch.nn.Linear(5, 6), torch.nn.Dropout(0.3), torch.nn.Linear(6, 3))
        optimizer = torch.optim.AdamW(net.parameters(), lr=1e-2)
        scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 4, gamma=0.5)
        x, y = torch.randn(48, 5), torch.randint(3, (48,))

        def step(i):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(net(x), y).backward()
            optimizer.step()
            scheduler.step()

        made = SimpleNamespace(net=net, optimizer=optimizer, scheduler=scheduler)
        own = {name: make(made) for name, make in how.items()}
        return TorchLoop(step, model=net, optimizer=optimizer, scheduler=scheduler, **own)

    return build


@pytest.mark.parametrize("slot", ["exp_avg", "exp_avg_sq", "step"])
def test_slot_of_the_optimizer_that_is_lost_is_named(slot):
    found = verify_resume(plain_run(**losing(slot)), 18, 7)
    assert found.makes_the_difference == (f"optimizer.{slot}",), str(found)
    assert found.lost == (f"optimizer.{slot}",)
    assert found.resumed.step == 8


def test_two_pieces_that_are_lost_are_needed_together():
    found = verify_resume(torch_run(saved=["model", "optimizer", "random numbers", "ema"]), 18, 7)
    assert set(found.makes_the_difference) == {"scheduler", "data"}
    assert "together make the difference" in str(found)


def optax_run(saved=None, **how):
    tx = optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(optax.cosine_decay_schedule(1e-2, 30)))
    x = jnp.asarray(np.random.default_rng(0).standard_normal((16, 4)), jnp.float32)

    @jax.jit
    def update(params, opt_state, key):
        key, own = jax.random.split(key)
        rows = jax.random.permutation(own, 16)[:8]
        grads = jax.grad(lambda p: jnp.mean((x[rows] @ p["w"] + p["b"] - 1) ** 2))(params)
        updates, opt_state = tx.update(grads, opt_state, params)
        return optax.apply_updates(params, updates), opt_state, key

    def step(i, held):
        return dict(zip(("params", "opt_state", "key"), update(**held), strict=True))

    def build():
        params = {"w": jnp.ones((4, 3)), "b": jnp.zeros(3)}
        pieces = {"params": params, "opt_state": tx.init(params), "key": jax.random.PRNGKey(0)}
        return PureLoop(step, pieces, saved=saved, **how)

    return build


def test_sound_resume_of_an_optax_loop_is_equal():
    found = verify_resume(optax_run(), 16, 8)
    found.require()
    assert found.without["random numbers"] is None
    assert found.without["key"].step == found.without["opt_state"].step == 9
    assert "random numbers: nothing changes; it was not seen to act" in str(found)


def test_key_of_an_optax_loop_that_is_not_saved_is_named():
    assert verify_resume(optax_run(["params", "opt_state"]), 16, 8).makes_the_difference == ("key",)


@pytest.mark.parametrize("field", ["mu", "nu"])
def test_moment_of_an_optax_loop_that_is_lost_is_named(field):
    def save(held):
        state = optax.tree.set(held["opt_state"], **{field: jax.tree.map(jnp.zeros_like, held["params"])})
        return {**held, "opt_state": state}

    found = verify_resume(optax_run(save=save), 16, 8)
    assert found.makes_the_difference == (f"opt_state.{field}",), str(found)


# --- what a verification must not be fooled by ---


class Bare:
    """Only what is asked for; ``broken`` is what goes wrong."""

    def __init__(self, broken=""):
        self.w, self.m, self.broken = np.ones(3), np.zeros(3), broken

    def step(self, i):
        self.m = 0.9 * self.m + np.sin(self.w + i)
        noise = np.random.default_rng().standard_normal(3) if self.broken == "not deterministic" else 0
        self.w = self.w - 0.1 * (0 if self.broken == "stands still" else self.m) + 1e-3 * noise

    def state(self):
        return {"params": self.w, "m": self.m}

    def load(self, state):
        self.w = state["params"]
        if self.broken != "drops m":
            self.m = state["m"]

    def params(self):
        return {"w": self.w}


def test_bare_training_is_verified_by_its_own_load():
    found = verify_resume(Bare, 16, 8)
    assert found.equal
    assert any("cold is a run from the start" in note for note in found.notes)
    dropped = verify_resume(lambda: Bare("drops m"), 16, 8)
    assert not dropped.equal
    assert dropped.resumed.step == 9


def test_check_that_could_not_have_failed_is_no_proof():
    found = verify_resume(lambda: Bare("stands still"), 16, 8)
    assert found.resumed is None
    assert found.cold is None
    assert not found.equal
    with pytest.raises(AssertionError, match="could not have failed"):
        found.require()


def test_training_that_is_not_deterministic_is_said_to_be():
    found = verify_resume(lambda: Bare("not deterministic"), 16, 8)
    assert found.repeated is not None
    assert not found.equal
    assert "not deterministic" in str(found)


def test_generators_of_the_caller_are_left_as_they_were():
    torch.manual_seed(3)
    before = torch.get_rng_state()
    verify_resume(torch_run(), 18, 7)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(("steps", "at"), [(10, 0), (10, 10), (10, 4)])
def test_too_few_steps_are_refused(steps, at):
    with pytest.raises(ValueError, match="at least 7"):
        verify_resume(Bare, steps, at)


def test_name_of_a_piece_that_is_none_is_refused():
    with pytest.raises(ValueError, match="'momentum', which is no piece"):
        verify_resume(torch_run(saved=["model", "momentum"]), 18, 7)


def test_what_is_no_training_is_refused():
    with pytest.raises(TypeError, match=r"returned a tuple without step, state, load and params\(\)"):
        verify_resume(lambda: (1, 2), 16, 8)


def test_two_ways_to_say_what_is_saved_are_refused():
    keep = {"save": lambda made: dict, "load": lambda made: dict}
    with pytest.raises(TypeError, match="saved= and save= both say"):
        torch_run(saved=["model"], **keep)()
    with pytest.raises(TypeError, match="saved= and save= both say"):
        optax_run(["params"], save=dict)()


def test_piece_without_a_state_is_refused_by_name():
    with pytest.raises(TypeError, match=r"rows= is a list without state_dict\(\)"):
        TorchLoop(print, model=torch.nn.Linear(2, 2), rows=[1, 2])
