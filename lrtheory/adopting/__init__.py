"""A live optimizer of torch, optax or Keras read into our terms: rule, numbers in force, state and names, group by group.

Without torch, from plain numbers and NumPy arrays: :func:`group_rule` (class name and options of a group → rule and numbers,
or a reason) and :func:`kept_state` (what torch keeps of one parameter, whole or at some coordinates → the rule's state of it).
"""

from ._slots import AdoptError, Kept
from .adopted import Adopted, Group
from .torch_group import GroupRule, group_rule, kept_state

__all__ = ["AdoptError", "Adopted", "Group", "GroupRule", "Kept", "group_rule", "kept_state"]
