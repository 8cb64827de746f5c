"""The handwritten digits that scikit-learn ships: real data that needs no download."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np

TEST_SHARE = 0.2


@dataclass(frozen=True, eq=False)
class Digits:
    """8×8 images as rows of 64 standardised pixels, and the digit each shows."""

    # float64 of shape (images, 64), standardised with mean and deviation of the training images; a pixel that never
    # changes is 0 throughout
    train_x: np.ndarray
    train_y: np.ndarray  # int64 of shape (images,)
    test_x: np.ndarray
    test_y: np.ndarray


@functools.cache
def load_digits(seed: int) -> Digits:
    """The 1797 images, split into training and test set by ``seed``.

    References
    ----------
    ``sklearn.datasets.load_digits``: the test part of the UCI set "Optical Recognition of Handwritten Digits".
    """
    from sklearn.datasets import load_digits as bundled  # slow to import, and needed here alone

    # Arrays by name: where pandas is installed, the declared result may also be a frame, which ``as_frame=False`` rules out.
    images, labels = (np.asarray(part) for part in bundled(return_X_y=True, as_frame=False))
    order = np.random.default_rng([seed, 0]).permutation(len(labels))
    test, train = np.split(order, [round(TEST_SHARE * len(labels))])
    mean, deviation = images[train].mean(axis=0), images[train].std(axis=0)
    standardised = (images - mean) / np.where(deviation > 0, deviation, 1)
    labels = labels.astype(np.int64)
    return Digits(standardised[train], labels[train], standardised[test], labels[test])
