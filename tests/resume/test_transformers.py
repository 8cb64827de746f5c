"""A training of the Hugging Face Trainer, resumed by its own checkpoints: sound, and with a piece lost on the way."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
pytest.importorskip("accelerate")

from lrtheory import checkpoints  # noqa: E402
from parity.resume import TrainerLoop, verify_resume  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")


class Classifier(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.net = torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.Dropout(0.3), torch.nn.Linear(8, 2))
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, x, labels):
        out = self.net(x)
        self.seen += out.detach().mean()
        return {"loss": torch.nn.functional.cross_entropy(out, labels), "logits": out}


class Losing(transformers.Trainer):
    """Forgets a part of the optimizer's state when it resumes."""

    slot = ""

    def _load_optimizer_and_scheduler(self, checkpoint):
        super()._load_optimizer_and_scheduler(checkpoint)
        if checkpoint is not None and self.slot == "seen":
            self.model.seen.zero_()
        elif checkpoint is not None and self.slot:
            for kept in self.optimizer.state.values():
                kept[self.slot].zero_()


def train(tmp_path, slot=""):
    def build():
        transformers.set_seed(0)
        data = [{"x": torch.randn(6), "labels": torch.randint(2, ())} for _ in range(40)]
        arguments = transformers.TrainingArguments(
            output_dir=str(tmp_path), per_device_train_batch_size=8, max_steps=16, use_cpu=True, save_strategy="no",
            learning_rate=1e-2, disable_tqdm=True, report_to="none", logging_strategy="no",
        )  # fmt: skip
        trainer = Losing(Classifier(), arguments, train_dataset=data)
        trainer.slot = slot
        return TrainerLoop(trainer)

    return build


def test_sound_training_is_equal_and_what_is_lost_is_named(tmp_path):
    found = verify_resume(train(tmp_path), 15, 7)
    found.require()
    assert found.without["optimizer"] is not None
    assert found.without["scheduler"] is not None
    found = verify_resume(train(tmp_path, "exp_avg_sq"), 15, 7)
    assert found.makes_the_difference == ("optimizer.exp_avg_sq",), str(found)
    found = verify_resume(train(tmp_path, "seen"), 15, 7)  # a buffer, which no gradient depends on
    assert found.resumed is not None
    assert found.resumed.tensor == "seen"


def test_checkpoint_of_a_trainer_is_judged(tmp_path):
    loop = train(tmp_path)()
    for i in range(7):
        loop.step(i)
    loop.state()
    loop.close()
    found = checkpoints.judge(checkpoints.read(tmp_path / "checkpoint-7"))
    assert found.sound, [str(fault) for fault in found.faults]
    assert found.kind == "Hugging Face"
    assert {"counts of 4 tensors: 7 steps", "scheduler is at 7, as the run is", "counts beside global_step"} <= set(
        found.looked_at
    )
