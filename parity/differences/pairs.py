"""The questions: implementations that people port between, put beside each other."""

from __future__ import annotations

from .averaged_pairs import AVERAGED_PAIRS
from .narrow_pairs import NARROW_PAIRS
from .pair import Pair
from .schedule_pairs import SCHEDULE_PAIRS

RULE_PAIRS: tuple[Pair, ...] = (
    Pair("optax-sgd", "optax.sgd(0.1, momentum=0.9)", "torch.optim.SGD(lr=0.1, momentum=0.9)"),
    Pair(
        "optax-sgd-dampening",
        "optax.sgd(0.1, momentum=0.9)",
        "torch.optim.SGD(lr=0.1, momentum=0.9, dampening=0.4)",
        "torch/optim/sgd.py: the first gradient enters undamped; pytorch/pytorch#152833",
    ),
    Pair("optax-adam", "optax.adam(0.1)", "torch.optim.Adam(lr=0.1)"),
    Pair(
        "optax-amsgrad",
        "optax.amsgrad(0.1)",
        "torch.optim.Adam(lr=0.1, amsgrad=True)",
        "optax/_src/transform.py scale_by_amsgrad; google-deepmind/optax#1389",
    ),
    Pair(
        "optax-adamw",
        "optax.adamw(0.1)",
        "torch.optim.AdamW(lr=0.1)",
        "optax/_src/alias.py adamw; google-deepmind/optax#292",
    ),
    Pair(
        "optax-nadam",
        "optax.nadam(0.1)",
        "torch.optim.NAdam(lr=0.1)",
        "optax/_src/alias.py nadam; torch/optim/nadam.py; keras-team/keras#15710",
    ),
    Pair(
        "optax-radam",
        "optax.radam(0.1)",
        "torch.optim.RAdam(lr=0.1)",
        "optax/_src/transform.py scale_by_radam; torch/optim/radam.py",
    ),
    Pair("optax-adamax", "optax.adamax(0.1)", "torch.optim.Adamax(lr=0.1)"),
    Pair(
        "optax-adagrad",
        "optax.adagrad(0.1)",
        "torch.optim.Adagrad(lr=0.1)",
        "optax/_src/transform.py scale_by_rss; torch/optim/adagrad.py",
    ),
    Pair(
        "optax-adagrad-lr-decay",
        "optax.adagrad(0.1)",
        "torch.optim.Adagrad(lr=0.1, lr_decay=0.1)",
        "optax/_src/alias.py adagrad; torch/optim/adagrad.py",
    ),
    Pair("optax-adadelta", "optax.adadelta(1.0)", "torch.optim.Adadelta(lr=1.0)"),
    Pair(
        "optax-rmsprop",
        "optax.rmsprop(0.01)",
        "torch.optim.RMSprop(lr=0.01)",
        "optax/_src/alias.py rmsprop; google-deepmind/optax#532, #595",
    ),
    Pair(
        "optax-rmsprop-momentum",
        "optax.rmsprop(0.01, momentum=0.9)",
        "torch.optim.RMSprop(lr=0.01, momentum=0.9)",
        "optax/_src/alias.py rmsprop: scale_by_learning_rate, then trace",
    ),
    Pair(
        "optax-rprop",
        "optax.rprop(0.01)",
        "torch.optim.Rprop(lr=0.01)",
        "optax/_src/transform.py scale_by_rprop; torch/optim/rprop.py",
    ),
    Pair("optax-adan", "optax.adan(0.01)", "adan(lr=0.01)", "optax/_src/transform.py scale_by_adan; 2208.06677"),
    Pair(
        "optax-adafactor",
        "optax.adafactor(0.5)",
        "torch.optim.Adafactor(lr=0.5)",
        "optax/_src/factorized.py (the decay rate is cast to float32); torch/optim/_adafactor.py",
    ),
    Pair(
        "optax-muon",
        "optax.contrib.muon(0.02)",
        "torch.optim.Muon(lr=0.02)",
        "optax/contrib/_muon.py; torch/optim/_muon.py; google-deepmind/optax#1249",
    ),
    Pair(
        "optax-lion", "optax.lion(0.01)", "lion(lr=0.01)", "optax/_src/alias.py lion: weight_decay is 1e-3; 2302.06675"
    ),
    Pair("optax-sign-sgd", "optax.sign_sgd(0.01)", "signsgd(lr=0.01)"),
    Pair("optax-lars", "optax.lars(0.1, 1e-4)", "lars(lr=0.1, weight_decay=1e-4)"),
    Pair("optax-lamb", "optax.lamb(0.01)", "lamb(lr=0.01)"),
    Pair(
        "keras-adam",
        "keras.optimizers.Adam(0.1)",
        "torch.optim.Adam(lr=0.1)",
        "keras/src/optimizers/adam.py; keras-team/keras#17391",
    ),
    Pair("keras-adamw", "keras.optimizers.AdamW(0.1)", "torch.optim.AdamW(lr=0.1)", "keras/src/optimizers/adamw.py"),
    Pair(
        "keras-nadam",
        "keras.optimizers.Nadam(0.1)",
        "torch.optim.NAdam(lr=0.1)",
        "keras/src/optimizers/nadam.py: momentum_decay is 1",
    ),
    Pair(
        "keras-adamax", "keras.optimizers.Adamax(0.1)", "torch.optim.Adamax(lr=0.1)", "keras/src/optimizers/adamax.py"
    ),
    Pair(
        "keras-sgd-momentum",
        "keras.optimizers.SGD(0.1, momentum=0.9)",
        "torch.optim.SGD(lr=0.1, momentum=0.9)",
        "keras/src/optimizers/sgd.py",
    ),
    Pair(
        "keras-rmsprop-momentum",
        "keras.optimizers.RMSprop(0.01, momentum=0.9)",
        "torch.optim.RMSprop(lr=0.01, momentum=0.9)",
        "keras/src/optimizers/rmsprop.py",
    ),
    Pair(
        "keras-adagrad",
        "keras.optimizers.Adagrad(0.1)",
        "torch.optim.Adagrad(lr=0.1)",
        "keras/src/optimizers/adagrad.py",
    ),
    Pair(
        "keras-adadelta",
        "keras.optimizers.Adadelta(1.0)",
        "torch.optim.Adadelta(lr=1.0)",
        "keras/src/optimizers/adadelta.py",
    ),
    Pair(
        "keras-adafactor",
        "keras.optimizers.Adafactor(0.5)",
        "torch.optim.Adafactor(lr=0.5)",
        "keras/src/optimizers/adafactor.py update_step: eps1 is added to the squares; keras/src/backend/jax/numpy.py mean: "
        "works in float32 whatever the dtype of its operand",
    ),
    Pair("keras-lion", "keras.optimizers.Lion(0.01)", "lion(lr=0.01)"),
    Pair(
        "keras-lamb",
        "keras.optimizers.Lamb(0.01, weight_decay=0.1)",
        "lamb(lr=0.01, weight_decay=0.1)",
        "keras/src/optimizers/base_optimizer.py _apply_weight_decay: before the step, outside the ratio of algorithm 2 of "
        "1904.00962",
    ),
)

PAIRS = (*RULE_PAIRS, *AVERAGED_PAIRS, *NARROW_PAIRS, *SCHEDULE_PAIRS)
