"""A Lightning trainer that is watched: the same bits, the trainer's own loggers, several optimizers, a fit that fails."""

from __future__ import annotations

import csv

import pytest

torch = pytest.importorskip("torch")
lightning = pytest.importorskip("lightning.pytorch")
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger  # noqa: E402

from lrtheory.watching.lightning import Watch  # noqa: E402

from .test_loggers import read_events  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")


class Digits(lightning.LightningModule):
    def __init__(self, fails_at=None):
        super().__init__()
        self.net = torch.nn.Sequential(
            torch.nn.Linear(6, 8), torch.nn.Dropout(0.2), torch.nn.Tanh(), torch.nn.Linear(8, 2)
        )
        self.fails_at = fails_at

    def training_step(self, batch, number):
        if number == self.fails_at:
            raise RuntimeError("planned")
        x, y = batch
        return torch.nn.functional.cross_entropy(self.net(x), y)

    def configure_optimizers(self):
        optimizer = torch.optim.AdamW(self.parameters(), lr=1e-2)
        return [optimizer], [torch.optim.lr_scheduler.StepLR(optimizer, 1)]


class Two(lightning.LightningModule):
    """Optimizers stepped by hand."""

    def __init__(self):
        super().__init__()
        self.a, self.b = torch.nn.Linear(6, 4), torch.nn.Linear(4, 2)
        self.automatic_optimization = False

    def training_step(self, batch, number):
        x, y = batch
        for optimizer in self.optimizers():
            optimizer.zero_grad()
            self.manual_backward(torch.nn.functional.cross_entropy(self.b(self.a(x)), y))
            optimizer.step()

    def configure_optimizers(self):
        return [torch.optim.SGD(self.a.parameters(), lr=0.1), torch.optim.Adam(self.b.parameters(), lr=1e-2)]


def fit(tmp_path, module=Digits, *, callbacks=(), logger=False, **options):
    torch.manual_seed(0)
    data = torch.utils.data.TensorDataset(torch.randn(48, 6), torch.randint(0, 2, (48,)))
    model = module()
    trainer = lightning.Trainer(
        max_epochs=2, accelerator="cpu", devices=1, logger=logger, callbacks=list(callbacks), default_root_dir=tmp_path,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False, **options,
    )  # fmt: skip
    trainer.fit(model, torch.utils.data.DataLoader(data, batch_size=8, shuffle=True))
    return model


def bits(model):
    return {name: value.numpy().tobytes() for name, value in model.state_dict().items()}


@pytest.mark.parametrize("options", [{}, {"gradient_clip_val": 0.1}, {"accumulate_grad_batches": 2}], ids=str)
@pytest.mark.parametrize("module", [Digits, Two])
def test_watching_lightning_leaves_the_trajectory_as_it_is(tmp_path, module, options):
    if module is Two and options:
        pytest.skip("clipping and accumulation are the module's own where it steps by hand")
    plain = fit(tmp_path / "plain", module, **options)
    watched = fit(tmp_path / "watched", module, callbacks=[Watch(every=1)], **options)
    assert bits(watched) == bits(plain)


def test_figures_go_through_the_trainers_own_loggers(tmp_path):
    watch = Watch(every=4, out=tmp_path / "record")
    fit(tmp_path, callbacks=[watch], logger=[CSVLogger(tmp_path, name="csv"), TensorBoardLogger(tmp_path, name="tb")])
    with open(tmp_path / "csv/version_0/metrics.csv") as file:
        rows = [row for row in csv.DictReader(file) if row["lrtheory/lr/0"]]
    assert [(int(row["step"]), float(row["lrtheory/lr/0"])) for row in rows] == [
        (0, 1e-2),
        (4, 1e-2),
        (8, pytest.approx(1e-3)),
    ]
    effective = float(rows[0]["lrtheory/effective_lr/net.0.weight"])
    assert effective > 0
    events = read_events(tmp_path / "tb/version_0")
    assert events["lrtheory/effective_lr/net.0.weight"][0] == (0, pytest.approx(effective))
    assert [step for step, _ in events["lrtheory/relative_update/net.3.bias"]] == [0, 4, 8]
    table = watch.watch.summary()
    assert table["net.0.weight"].rule == "adam(decoupled=True)"
    assert watch.watch.run().ended


def test_every_optimizer_of_a_module_is_watched(tmp_path):
    watch = Watch(every=2)
    fit(tmp_path, Two, callbacks=[watch])
    run = watch.watch.run()
    assert [(w.kind, [t["name"] for t in w.tensors]) for w in run.optimizers] == [
        ("SGD", ["a.weight", "a.bias"]), ("Adam", ["b.weight", "b.bias"]),
    ]  # fmt: skip
    assert run.out == tmp_path / "lrtheory"


def test_a_fit_that_fails_leaves_what_was_measured(tmp_path):
    watch = Watch(every=1)
    with pytest.raises(RuntimeError, match="planned"):
        fit(tmp_path, lambda: Digits(fails_at=3), callbacks=[watch])
    run = watch.watch.run()
    assert run.ended
    assert list(run.optimizers[0].steps) == [0, 1, 2]
