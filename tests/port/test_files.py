"""A checkpoint is the source of a port, by its path."""

from __future__ import annotations

import warnings

import numpy as np
import optax
import pytest
import torch
from torch.distributed.checkpoint.state_dict_saver import save as save_distributed

from lrtheory import checkpoints, port


def trained() -> tuple[torch.nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Linear(4, 2))
    optimizer = torch.optim.AdamW(net.named_parameters(), lr=1e-3)
    for _ in range(9):
        optimizer.zero_grad()
        net(torch.randn(5, 3)).square().sum().backward()
        optimizer.step()
    return net, optimizer


@pytest.mark.parametrize("kind", ["torch", "safetensors", "distributed"])
def test_checkpoint_goes_on_in_optax(kind, tmp_path):
    net, optimizer = trained()
    tree = {"model": net.state_dict(), "optimizer": optimizer.state_dict()}
    path = tmp_path / {"torch": "run.pt", "safetensors": "run.safetensors", "distributed": "run"}[kind]
    if kind == "distributed":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            save_distributed(tree, checkpoint_id=path, no_dist=True)
    else:
        checkpoints.write(path, tree)
    ported = port.state(path, to=optax.adamw(1e-3, weight_decay=1e-2))
    assert ported.names == {name: name for name, _ in net.named_parameters()}
    for name, p in net.named_parameters():
        np.testing.assert_array_equal(ported.params[name], p.detach().numpy())
        for slot, key in [("mu", "exp_avg"), ("nu", "exp_avg_sq")]:
            np.testing.assert_array_equal(optax.tree.get(ported.state, slot)[name], optimizer.state[p][key].numpy())
    assert (
        int(optax.tree.get(ported.state, "count", filtering=lambda path, value: "adam" in str(path).lower() or True))
        == 9
    )


def test_files_that_are_no_source_are_refused(tmp_path):
    net, optimizer = trained()
    torch.save({"a": optimizer.state_dict(), "b": optimizer.state_dict()}, tmp_path / "two.pt")
    torch.save(net.state_dict(), tmp_path / "weights.pt")
    for name, said in [("two.pt", "2 optimizers"), ("weights.pt", "no optimizer"), ("missing.pt", "no file or folder")]:
        with pytest.raises(port.PortError, match=said):
            port.state(tmp_path / name, to="lrtheory")
