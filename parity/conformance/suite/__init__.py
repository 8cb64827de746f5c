"""The checks, by what they look at."""

from collections.abc import Mapping

from ..outcome import Check
from . import company, in_jax, in_torch, laws, learning_rate, purity, reference, resuming, values

#: These compare two runs bit for bit, or nearly so.
_TWO_RUNS = (
    "closure", "jit", "scan", "vmap", "isolated", "non-finite", "gradient-only", "missing-gradient", "frozen", "company",
    "foreach", "schedule", "injected-lr", "lr-zero", "param-groups", "add-param-group", "resume", "state-dict",
    "scaling-law", "reference", "zero-gradient", "at-rest", "descent", "global-state",
)  # fmt: skip

_MORE = {
    "lr-zero": ("schedule",),
    "injected-lr": ("schedule",),
    "state-dict": ("resume",),
    "scan": ("tree", "dtypes", "jit"),
    "vmap": ("tree", "jit"),
    "param-groups": ("company",),
    "add-param-group": ("company",),
}

#: In the order of the report.
CHECKS: tuple[Check, ...] = (
    purity.first_step,
    purity.deterministic,
    in_jax.tree,
    in_jax.dtypes,
    in_torch.tree,
    in_torch.dtypes,
    in_torch.closure,
    in_jax.jit,
    in_jax.scan,
    in_jax.vmap,
    purity.isolated,
    purity.inputs,
    purity.quiet,
    purity.global_state,
    values.zero_gradient,
    values.at_rest,
    values.descent,
    values.is_finite,
    values.non_finite,
    values.gradient_only,
    company.missing_gradient,
    company.masked,
    company.frozen,
    company.deaf,
    company.company,
    in_torch.param_groups,
    in_torch.add_param_group,
    learning_rate.schedule,
    learning_rate.lr_zero,
    learning_rate.injected,
    resuming.resume,
    resuming.state_dict,
    laws.scaling_law,
    laws.step_bound,
    reference.foreach,
    reference.reference,
)


#: Check → those whose failure is its own too: it is not run then, since one cause is one failure.
NEEDS: Mapping[str, tuple[str, ...]] = {
    check.id: (
        *(["first-step"] if check.id != "first-step" else []),
        *(["deterministic"] if check.id in _TWO_RUNS else []),
        *_MORE.get(check.id, ()),
    )
    for check in CHECKS
}


def checks(kind: str | None = None) -> dict[str, Check]:
    """The checks of one kind of target by id; of every kind, with the kinds in the key where an id has two checks."""
    if kind is not None:
        return {check.id: check for check in CHECKS if kind in check.kinds}
    return {f"{check.id} {'+'.join(check.kinds)}": check for check in CHECKS}


def get(kind: str, id: str) -> Check:
    """The check of that id. Raises ValueError with the ids that there are."""
    found = checks(kind)
    if id not in found:
        raise ValueError(f"no check {id!r} for {kind} targets: there are {', '.join(found)}")
    return found[id]
