"""Hyperparameters, or rules, per group of parameters: one pure function over the tree, with the contract of a rule.

Groups are told by patterns of names (:func:`by_pattern`) or by labels (:func:`by_label`). Both give a :class:`Groups`, which is
used as a rule is, and lowers to one program whose hyperparameters are traced.
"""

from ._groups import Groups
from ._labels import names_a_field
from ._leaves import alone, has_groups, lrs, names_by_label, of_leaves, with_lrs
from ._made import by_label, by_pattern, layer_decay

__all__ = [
    "Groups", "alone", "by_label", "by_pattern", "has_groups", "layer_decay", "lrs", "names_a_field",
    "names_by_label", "of_leaves", "with_lrs",
]  # fmt: skip
