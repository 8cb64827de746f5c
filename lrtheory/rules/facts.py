"""What is known of a rule beyond its formula: said where the rule is written, asked by theory, rescaling and explaining."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np

#: The reason that is given where a rule says nothing.
NOT_KNOWN = "not known of this rule"
NO_EQUILIBRIUM = "the rotation at equilibrium is known for sgd (not nesterov) and for adamw"


class Form(NamedTuple):
    """A stability threshold in closed form: its value, the formula in the code's names, and what was assumed."""

    value: Any
    formula: str
    assumed: str


class BatchChange(NamedTuple):
    """What a batch κ times as large makes of a rule.

    Attributes
    ----------
    powers, state : mapping
        Powers of κ that hyperparameters and state are multiplied by.
    memories : mapping
        Decay rates that shorten, with the power in 1 − β → κ^power (1 − β).
    counts : tuple of str
        Hyperparameters and state that count steps, of which there are κ times fewer.
    source : str
        Who derived it, and where it ends.
    noise_dominates : bool
        Whether that is assumed of single gradients.
    exactness : str
        One of :data:`lrtheory.rescaling.EXACTNESS`.
    """

    powers: Mapping[str, float]
    memories: Mapping[str, float] = {}
    state: Mapping[str, float] = {}
    counts: tuple[str, ...] = ()
    source: str = ""
    noise_dominates: bool = False
    exactness: str = "statistical"


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What is known of one rule with its options.

    A fact is a value, a function of the hyperparameters, or a sentence that says why there is none; a function may
    return such a sentence too. ``h`` is the rule's NamedTuple of Python floats. Nothing need be said: what is not, is
    read from the rule's own step where that can be done, and is otherwise answered by "not known".

    Attributes
    ----------
    divides_by : {"nothing", "size", "deviation"} or None
        What a step divides the gradient by: nothing (it is linear), a measure of its size, or its deviation from its
        average. ``None`` is not known.
    memory : tuple of str, or why the step is not linear
        State that is linear in gradients, once the sizes of gradients are held.
    sizes : tuple of str
        State that measures the size of gradients.
    long_after : mapping
        What other state is, once a run is long under way.
    averages : mapping
        Decay rates, and what they average: ``"gradients"`` or ``"squares"``.
    gain : float, h -> float
        By how much momentum multiplies the effective lr; read from the linear step unless given.
    steady : h, g -> float
        E after many steps of one gradient of size ``g``.
    largest : h, t -> float
        Sharp bound on one coordinate's step t, at eps 0; on all steps for t = ``None``.
    threshold : h, step -> Form
        Largest stable curvature, coupled decay left out; read from the linear step unless given.
    decay : h -> float
        What weight decay alone leaves of a parameter in a step, as a factor; read from ``decay`` of the rule unless given.
    equilibrium : h, gradient_norm, coordinates -> (norm, cosine)
        Where a scale-invariant weight settles under weight decay.
    no_batch_rule : str
        Why nothing is known of another batch size.
    sde : h -> BatchChange
        The change of batch that keeps the rule's stochastic differential equation.
    lr_in_state : tuple of str
        State that grows with lr.
    counts : tuple of str
        Hyperparameters and state that count the steps of the whole run.
    under_way : tuple of str
        Sums of gradients that lr multiplies when they are applied: after a change of batch they hold the old noise.
    lawless : str
        Why loss scale and parameter scale have no law.
    caveats : loss, params -> list of str
        Where that law ends.
    notes : h -> list of (name, value, sentence, law)
        What else there is to say of these hyperparameters.
    shape : tuple of int
        Of the smallest parameter.
    one_size : mapping
        Options under which updates are as large for every shape.
    rates : tuple of str
        Hyperparameters that are rates per step of the whole run.
    in_bfloat16 : bool
        Whether it computes in bfloat16 whatever its parameters, where one bit is another last digit of a step.
    """

    divides_by: Literal["nothing", "size", "deviation"] | None = None
    memory: tuple[str, ...] | str = "nothing is known about it"
    sizes: tuple[str, ...] = ()
    long_after: Mapping[str, float] = field(default_factory=dict)
    averages: Mapping[str, str] = field(default_factory=dict)
    gain: float | Callable[[Any], float | str] | str | None = None
    steady: Callable[[Any, float], float | str] | str = NOT_KNOWN
    largest: Callable[[Any, int | None], float | str] | str = NOT_KNOWN
    threshold: Callable[[Any, int | None], Form | str] | None = None
    decay: Callable[[Any], float | str] | str | None = None
    equilibrium: Callable[[Any, float, int], tuple[float, float]] | str = NO_EQUILIBRIUM
    no_batch_rule: str = ""
    sde: Callable[[Any], BatchChange] | None = None
    lr_in_state: tuple[str, ...] = ()
    counts: tuple[str, ...] = ()
    under_way: tuple[str, ...] = ()
    lawless: str = ""
    caveats: Callable[[float, float], list[str]] = lambda loss, params: []
    notes: Callable[[Any], list[tuple[str, float, str, str]]] = lambda h: []
    shape: tuple[int, ...] = (1,)
    one_size: Mapping[str, Any] = field(default_factory=dict)
    rates: tuple[str, ...] = ()
    in_bfloat16: bool = False


#: Reasons and averages that several rules share.
ADAM_AVERAGES = {"beta1": "gradients", "beta2": "squares"}
LINEAR_STEPS = "a step grows in proportion to the gradient, so that nothing bounds it; clipping does"
WHOLE_TENSOR = "a coordinate's step depends on the norms of the whole tensor"
AS_LONG_AS_THE_PARAMETER = "its step is a fixed share of the parameter's length, whatever the gradient"
FOLLOWS_SIGNS = "it takes the sign of its direction, and a step of lr however small the gradient"
SCALED_DECAY = "its decay is scaled with the norm of the tensor, so that it has no one time scale"
AVERAGE_FALLS = "the weight of its average falls over the run"
AVERAGE_STANDS = "late in the run, when the average of the iterates hardly moves"
DECAY_OF_TWO = "decay acts on one sequence and parameters are another's average: no one time scale"
SQUARE_ROOT_RULE = "Malladi et al. 2022 (2205.10287)"


def zero_tensor(name: str) -> Callable[[float, float], list[str]]:
    """The caveat of rules with a trust ratio."""
    text = f"{name}: not for a tensor that is exactly zero, whose trust ratio is the bare number 1"
    return lambda loss, params: [text]


def normalised_average(
    h: Any, memories: Mapping[str, float], exactness: str = "statistical", ends: str = ""
) -> BatchChange:
    """The change of a rule that normalises an average of gradients; the first of its memories is that of the average."""
    if np.all(np.asarray(getattr(h, next(iter(memories)))) == 0):
        source = "single gradients are normalised, not an average: noise must dominate in each"
        return BatchChange({"lr": 0.5, "weight_decay": 0.5}, {}, {}, (), source, True, "heuristic")
    source = (
        "derived here: the average that is normalised keeps its ratio of signal to noise and its memory in examples, whether or "
        "not noise dominates; in the limit of small steps and κ(1 − β) far below 1"
    )
    return BatchChange({"lr": 1.0}, memories, source=source + ends, exactness=exactness)
