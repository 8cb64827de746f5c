"""Every kind of file and folder: written by its own library, read here, sound as it is and named when it was harmed."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import pickle
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from lrtheory.checkpoints import CheckpointError, judge, read, write

from .saved_runs import Saved, adamw, model, run
from .test_planted import PLANTED, count_reset, moment_zero, schedule_restarted
from .test_sound import sound


def ids(path: Path, spec: str | None = None) -> list[str]:
    return [fault.id for fault in judge(read(path), spec).faults]


# --- safetensors ---


def test_safetensors_is_there_and_back_bitwise(tmp_path):
    saved = run()
    saved["model"]["half"] = torch.randn(3).bfloat16()
    saved["none"], saved["text/with~signs"] = None, {"a/b~c": torch.arange(3)}
    write(tmp_path / "run.safetensors", saved)
    found = sound(judge(read(tmp_path / "run.safetensors")))
    assert "lr on the curve of scheduler" in found.looked_at
    assert sorted(p.name for p in tmp_path.iterdir()) == ["run.json", "run.safetensors"]
    again = read(tmp_path / "run.safetensors")
    for key, kept in saved["optimizer"]["state"].items():
        for slot, value in kept.items():
            assert np.asarray(again.optimizers[0].state[key][slot]).tobytes() == value.numpy().tobytes()
    assert again.weights["half"].dtype.name == "bfloat16"
    assert again.counters == {"epoch": saved["epoch"], "step": saved["step"]}


def test_safetensors_is_as_its_own_library_has_it(tmp_path):
    library = pytest.importorskip("safetensors.torch")
    saved = run()
    write(tmp_path / "ours.safetensors", {"model": saved["model"]})
    theirs = library.load_file(tmp_path / "ours.safetensors")
    assert all(torch.equal(theirs[f"/model/{name}"], value) for name, value in saved["model"].items())
    flat = {f"model.{name}": value.contiguous() for name, value in saved["model"].items()}
    flat |= {
        f"optimizer.state.{k}.{slot}": v for k, kept in saved["optimizer"]["state"].items() for slot, v in kept.items()
    }
    library.save_file(flat, tmp_path / "flat.safetensors")
    rest = {"optimizer": {"param_groups": saved["optimizer"]["param_groups"]}, "epoch": 15}
    (tmp_path / "flat.json").write_text(json.dumps(rest))
    sound(judge(read(tmp_path / "flat.safetensors")))


@pytest.mark.parametrize(
    "what", ["count reset to 1", "m zero", "groups reversed", "schedule restarted", "names turned"]
)
def test_planted_fault_is_named_from_safetensors(what, tmp_path):
    plant, id = PLANTED[what]
    saved = run()
    plant(saved)
    write(tmp_path / "run.safetensors", saved)
    assert id in ids(tmp_path / "run.safetensors")


def test_what_cannot_be_written_leaves_files_as_they_were(tmp_path):
    write(tmp_path / "run.safetensors", run())
    before = {p: p.read_bytes() for p in tmp_path.iterdir()}
    for tree, said in [
        ({"model": {"f": print}}, "model/f is a builtin"),
        ({"c": torch.zeros(2, dtype=torch.complex64)}, "c has"),
    ]:
        with pytest.raises(CheckpointError, match=said):
            write(tmp_path / "run.safetensors", tree)
    for path, said in [("run.npz", "does not end in"), ("missing/run.pt", "no folder")]:
        with pytest.raises(CheckpointError, match=said):
            write(tmp_path / path, run())
    with pytest.raises(Exception, match="pickle"):
        write(tmp_path / "run.safetensors.pt", {"model": lambda: 0})
    assert {p: p.read_bytes() for p in tmp_path.iterdir()} == before


def test_torch_file_that_is_written_is_read_and_loaded_again(tmp_path):
    saved = run()
    write(tmp_path / "run.pt", saved)
    (optimizer,) = read(tmp_path / "run.pt").optimizers
    again = adamw(model())
    again.load_state_dict(optimizer.state_dict())
    for key, kept in again.state_dict()["state"].items():
        for slot, value in kept.items():
            assert torch.equal(value, saved["optimizer"]["state"][key][slot])


# --- torch.distributed.checkpoint ---


@pytest.fixture
def distributed():
    return pytest.importorskip("torch.distributed.checkpoint")


def trained() -> tuple[torch.nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(0)
    net = model()
    optimizer = adamw(net)
    for _ in range(30):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(net(torch.randn(8, 12)), torch.randint(5, (8,))).backward()
        optimizer.step()
    return net, optimizer


def saved_by(distributed, path: Path, tree: dict) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        distributed.save(tree, checkpoint_id=path, no_dist=True)
    return path


@pytest.mark.parametrize("form", ["by name", "flat", "by number"])
def test_distributed_checkpoint(form, distributed, tmp_path):
    from torch.distributed.checkpoint.state_dict import StateDictOptions, get_optimizer_state_dict

    net, optimizer = trained()
    options = StateDictOptions(flatten_optimizer_state_dict=form == "flat")
    states = lambda: (  # noqa: E731
        optimizer.state_dict() if form == "by number" else get_optimizer_state_dict(net, optimizer, options=options)
    )
    path = saved_by(distributed, tmp_path / "sound", {"model": net.state_dict(), "optimizer": states(), "step": 30})
    found = sound(judge(read(path)))
    assert found.kind == "torch.distributed"
    assert "counts of 8 tensors: 30 steps" in found.looked_at
    assert "names and shapes of 8 tensors beside the weights" in found.looked_at
    for kept in optimizer.state.values():
        kept["step"].fill_(1.0)
    path = saved_by(distributed, tmp_path / "reset", {"model": net.state_dict(), "optimizer": states()})
    assert "count-does-not-fit-moments" in ids(path)


def test_distributed_checkpoint_that_is_harmed_is_refused(distributed, tmp_path):
    net, optimizer = trained()
    tree = {"model": net.state_dict(), "optimizer": optimizer.state_dict()}
    path = saved_by(distributed, tmp_path / "saved", tree)
    (piece,) = path.glob("*.distcp")
    whole = piece.read_bytes()
    piece.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CheckpointError, match="is no whole file"):
        read(path)
    piece.unlink()
    with pytest.raises(CheckpointError, match="lacks the file"):
        read(path)

    class Code:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "marker"),)

    (path / ".metadata").write_bytes(pickle.dumps(Code()))
    with pytest.raises(CheckpointError, match=r"posix.mkdir, an object that only running its code"):
        read(path)
    assert not (tmp_path / "marker").exists()


def test_a_path_is_one_wherever_the_python_that_saved_it_keeps_the_class():
    from lrtheory.checkpoints import _distributed

    for module in ("pathlib", "pathlib._local"):  # as Python 3.13 has it
        saved = f"c{module}\nPosixPath\n(S'run'\ntR.".encode()
        assert _distributed._Index(io.BytesIO(saved)).load() == Path("run")


def test_pieces_of_a_sharded_tensor_come_to_their_places(distributed, tmp_path):
    from torch.distributed.checkpoint.filesystem import _StorageInfo

    from lrtheory.checkpoints import _distributed

    whole = torch.arange(15.0).reshape(5, 3)
    path = saved_by(distributed, tmp_path / "saved", {"w": whole.clone()})
    index = _distributed._Index(io.BytesIO((path / ".metadata").read_bytes())).load()
    (at,) = index.storage_data
    index.storage_data = {}
    for begin, end in ((2, 5), (0, 2)):
        file = path / f"from{begin}"
        torch.save(whole[begin:end].clone(), file)
        there = dataclasses.replace(at, offset=torch.Size((begin, 0)))
        index.storage_data[there] = _StorageInfo(file.name, 0, file.stat().st_size)
    (path / ".metadata").write_bytes(pickle.dumps(index))
    assert torch.equal(_distributed.load(path)["w"], whole)
    index.storage_data.pop(there)
    (path / ".metadata").write_bytes(pickle.dumps(index))
    with pytest.raises(CheckpointError, match="has 9 of 15 numbers of w"):
        _distributed.load(path)


# --- the Hugging Face Trainer ---


def trainer_folder(path: Path, saved: Saved) -> Path:
    path.mkdir()
    torch.save(saved["optimizer"], path / "optimizer.pt")
    torch.save(saved["scheduler"], path / "scheduler.pt")
    (path / "trainer_state.json").write_text(
        json.dumps({"global_step": saved["step"], "epoch": 1.5, "log_history": []})
    )
    torch.save(saved["model"], path / "pytorch_model.bin")
    torch.save(torch.zeros(3), path / "rng_state.pth")
    return path


def test_trainer_folder(tmp_path):
    found = sound(judge(read(trainer_folder(tmp_path / "checkpoint-120", run()))))
    assert "counts beside global_step" in found.looked_at
    assert any("rng_state.pth" in said for said in found.not_judged)
    for plant, id in [
        (count_reset, "count-does-not-fit-moments"),
        (lambda s: count_reset(s, 40), "counts-do-not-fit-the-run"),
        (schedule_restarted, "schedule-restarted"),
        (moment_zero, "moments-zero"),
    ]:
        saved = run()
        plant(saved)
        path = trainer_folder(tmp_path / "harmed", saved)
        assert id in ids(path)
        shutil.rmtree(path)
    folder = trainer_folder(tmp_path / "cut", run())
    (folder / "trainer_state.json").write_text("{")
    with pytest.raises(CheckpointError, match="not what the Trainer writes"):
        read(folder)
    with pytest.raises(CheckpointError, match="has the folders checkpoint-120, cut: give one of them"):
        read(tmp_path)


# --- Lightning ---


def test_lightning_checkpoint(tmp_path):
    saved = run()
    tree = {
        "pytorch-lightning_version": "2.6.0", "epoch": 15, "global_step": 120, "state_dict": saved["model"],
        "optimizer_states": [saved["optimizer"]], "lr_schedulers": [saved["scheduler"]], "loops": {"fit_loop": {"state_dict": {}}},
        "callbacks": {"ModelCheckpoint": {"best_model_score": torch.tensor(0.1), "best_model_path": ""}},
    }  # fmt: skip
    torch.save(tree, tmp_path / "sound.ckpt")
    found = sound(judge(read(tmp_path / "sound.ckpt")))
    assert found.kind == "Lightning"
    assert {"counts beside global_step", "lr on the curve of lr_schedulers.0"} <= set(found.looked_at)
    count_reset(saved, 60)
    torch.save(tree, tmp_path / "reset.ckpt")
    assert ids(tmp_path / "reset.ckpt") == ["counts-do-not-fit-the-run"]


# --- optax by orbax ---


def test_orbax_checkpoint(tmp_path):
    ocp = pytest.importorskip("orbax.checkpoint")
    jax, optax = pytest.importorskip("jax"), pytest.importorskip("optax")
    jnp = jax.numpy
    params = {"dense": {"kernel": jnp.ones((6, 5)), "bias": jnp.zeros(5)}}
    tx = optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(optax.cosine_decay_schedule(1e-3, 100)))
    state = tx.init(params)
    rng = np.random.default_rng(0)
    for _ in range(20):
        grads = jax.tree.map(lambda p: jnp.asarray(rng.standard_normal(p.shape), p.dtype), params)
        updates, state = tx.update(grads, state, params)
        params = optax.apply_updates(params, updates)

    def saved(name, opt_state):
        ocp.PyTreeCheckpointer().save(tmp_path / name, {"params": params, "opt_state": opt_state, "step": 20})
        return tmp_path / name

    path = saved("sound", state)
    found = sound(judge(read(path)))
    assert any("give --optimizer" in said for said in found.not_judged)
    spec = "optax.adamw(1e-3)"
    found = sound(judge(read(path), spec))
    assert "m beside v: whether so many steps can leave them" in found.looked_at
    assert "names and shapes of 2 tensors beside the weights" in found.looked_at
    zero = jax.tree.map(jnp.zeros_like, params)
    for name, changed, id in [
        ("reset", {"count": jnp.int32(1)}, "count-does-not-fit-moments"),
        ("gone", {"mu": zero}, "moments-zero"),
        ("nan", {"nu": jax.tree.map(lambda p: p * jnp.nan, params)}, "not-finite"),
    ]:
        (adam,) = [part for part in jax.tree.leaves(state, is_leaf=lambda x: hasattr(x, "mu")) if hasattr(part, "mu")]
        harmed = jax.tree.map(
            lambda part: adam._replace(**changed) if hasattr(part, "mu") else part,  # noqa: B023
            state,
            is_leaf=lambda x: hasattr(x, "mu"),
        )
        assert id in ids(saved(name, harmed), spec)
    assert ids(path, "optax.sgd(0.1, momentum=0.9)") == ["other-optimizer"]
    (path / "manifest.ocdbt").unlink()
    with pytest.raises(CheckpointError, match="is no whole orbax checkpoint"):
        read(path)


# --- Keras ---


@pytest.mark.filterwarnings("ignore:__array__ implementation")
def test_keras_files(tmp_path):
    os.environ.setdefault("KERAS_BACKEND", "jax")
    keras = pytest.importorskip("keras")
    keras.utils.set_random_seed(0)
    net = keras.Sequential([keras.Input((6,)), keras.layers.Dense(8), keras.layers.Dense(3)])
    net.compile(keras.optimizers.AdamW(1e-3, weight_decay=0.1), "mse")
    rng = np.random.default_rng(0)
    for _ in range(20):
        net.train_on_batch(rng.standard_normal((8, 6)), rng.standard_normal((8, 3)))
    net.save(tmp_path / "sound.keras")
    net.save_weights(tmp_path / "sound.weights.h5")
    found = sound(judge(read(tmp_path / "sound.keras")))
    assert "AdamW" in found.optimizers[0]["kind"]
    assert "counts of 4 tensors: 20 steps" in found.looked_at
    assert "m beside v: whether so many steps can leave them" in found.looked_at
    spec = "keras.optimizers.AdamW(1e-3, weight_decay=0.1)"
    found = sound(judge(read(tmp_path / "sound.weights.h5"), spec))
    assert "m beside v: whether so many steps can leave them" in found.looked_at
    net.optimizer.iterations.assign(1)
    net.save(tmp_path / "reset.keras")
    assert "count-does-not-fit-moments" in ids(tmp_path / "reset.keras")
    whole = (tmp_path / "sound.weights.h5").read_bytes()
    (tmp_path / "cut.weights.h5").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CheckpointError, match="is no whole file of Keras"):
        read(tmp_path / "cut.weights.h5")
    keras.Sequential([keras.Input((6,)), keras.layers.Dense(8)]).save(tmp_path / "bare.keras")
    with pytest.raises(CheckpointError, match="holds weights and no optimizer"):
        read(tmp_path / "bare.keras")
