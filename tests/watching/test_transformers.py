"""A Trainer of transformers that is watched: the same bits, the trackers of ``report_to``, the record."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
pytest.importorskip("accelerate")

from lrtheory.watching.transformers import Watch  # noqa: E402

from .test_loggers import read_events  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")


def train(tmp_path, callbacks=(), **options):
    transformers.set_seed(0)
    config = transformers.GPT2Config(vocab_size=17, n_positions=8, n_embd=8, n_layer=1, n_head=2)
    model = transformers.GPT2LMHeadModel(config)
    data = [{"input_ids": (ids := torch.randint(0, 17, (8,))), "labels": ids} for _ in range(24)]
    args = transformers.TrainingArguments(
        output_dir=str(tmp_path), per_device_train_batch_size=4, max_steps=6, use_cpu=True, save_strategy="no",
        learning_rate=1e-2, logging_steps=2, disable_tqdm=True, **{"report_to": "none"} | options,
    )  # fmt: skip
    transformers.Trainer(model, args, train_dataset=data, callbacks=list(callbacks)).train()
    return model


def bits(model):
    return {name: value.numpy().tobytes() for name, value in model.state_dict().items()}


@pytest.mark.parametrize(
    "options",
    [pytest.param({}, marks=pytest.mark.deep), {"gradient_accumulation_steps": 2, "optim": "adafactor"}],
    ids=str,
)
def test_watching_a_trainer_leaves_the_trajectory_as_it_is(tmp_path, options):
    plain = train(tmp_path / "plain", **options)
    watched = train(tmp_path / "watched", [Watch(every=1)], **options)
    assert bits(watched) == bits(plain)


def test_figures_go_to_the_trackers_of_the_trainer(tmp_path):
    pytest.importorskip("tensorboard")
    seen = []
    watch = Watch(every=2, log=lambda figures, step: seen.append((step, figures)))
    train(tmp_path, [watch], report_to=["tensorboard"])
    assert [step for step, _ in seen] == [0, 2, 4]
    name = "effective_lr/transformer.h.0.attn.c_attn.weight"
    events = read_events(tmp_path / "lrtheory/events")
    assert events[f"lrtheory/{name}"] == [(step, pytest.approx(figures[name])) for step, figures in seen]
    row = watch.watch.summary()["transformer.h.0.attn.c_attn.weight"]
    assert row.rule == "adam(decoupled=True)"
    assert row.clip_factor <= 1
