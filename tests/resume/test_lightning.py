"""A fit of Lightning, resumed by its own checkpoints: sound, and with a piece lost on the way."""

from __future__ import annotations

import logging

import pytest

torch = pytest.importorskip("torch")
lightning = pytest.importorskip("lightning.pytorch")

from lrtheory import checkpoints  # noqa: E402
from parity.resume import LightningLoop, verify_resume  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")
logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)


class Regression(lightning.LightningModule):
    """``losing`` empties a part of each checkpoint when it is loaded."""

    def __init__(self, losing=None):
        super().__init__()
        self.net, self.losing = torch.nn.Linear(6, 2), losing

    def training_step(self, batch, number):
        x, y = batch
        return torch.nn.functional.cross_entropy(self.net(x), y)

    def configure_optimizers(self):
        optimizer = torch.optim.AdamW(self.parameters(), lr=1e-2)
        scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 3, gamma=0.5)
        return [optimizer], [{"scheduler": scheduler, "interval": "step"}]

    def on_load_checkpoint(self, checkpoint):
        if self.losing is not None:
            self.losing(checkpoint)


def fit(tmp_path, losing=None):
    def build():
        torch.manual_seed(0)
        data = torch.utils.data.TensorDataset(torch.randn(32, 6), torch.randint(2, (32,)))
        trainer = lightning.Trainer(
            max_steps=20, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
            enable_model_summary=False, default_root_dir=tmp_path,
        )  # fmt: skip
        module = Regression(losing)
        return LightningLoop(trainer, module, train_dataloaders=torch.utils.data.DataLoader(data, batch_size=8))

    return build


def moments(checkpoint):
    for kept in checkpoint["optimizer_states"][0]["state"].values():
        kept["exp_avg"].zero_()


def schedule(checkpoint):
    checkpoint["lr_schedulers"][0]["last_epoch"] = 0


def test_sound_fit_is_equal_and_what_is_lost_is_named(tmp_path):
    found = verify_resume(fit(tmp_path), 15, 8)
    found.require()
    assert found.without["optimizer"] is not None
    for losing, piece in [(moments, "optimizer.exp_avg"), (schedule, "scheduler")]:
        found = verify_resume(fit(tmp_path, losing), 15, 8)
        assert found.makes_the_difference == (piece,), str(found)


def test_checkpoint_of_a_fit_is_judged(tmp_path):
    loop = fit(tmp_path)()
    for i in range(8):
        loop.step(i)
    (tmp_path / "saved.ckpt").write_bytes(loop.state())
    loop.close()
    found = checkpoints.judge(checkpoints.read(tmp_path / "saved.ckpt"))
    assert found.sound, [str(fault) for fault in found.faults]
    assert found.kind == "Lightning"
    assert {"counts of 2 tensors: 8 steps", "lr on the curve of lr_schedulers.0", "counts beside global_step"} <= set(
        found.looked_at
    )
