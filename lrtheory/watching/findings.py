"""What should be set otherwise in a watched run: each finding with its evidence and what to do.

A finding is said of medians over the measured steps, at least :data:`LEAST` of them, so that a few odd steps raise nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

import jax.numpy as jnp
import numpy as np

from ..words import some
from .figures import Run, Watched, middle

LEAST = 3
#: Of a healthy layer, ‖Δθ‖/‖θ‖ is some 1e-3; these are three and two powers of ten off.
HARDLY, REWRITTEN, TYPICAL = 1e-6, 0.1, 1e-3
MOST = 0.5
NEARLY_ALWAYS = 0.9
SKIPS, SKIPPED_SHARE = 10, 0.05
LONG_BEFORE = 0.15
FEW_STEPS = 20


@dataclass(frozen=True)
class Finding:
    """Something to set otherwise.

    Attributes
    ----------
    id : str
        Of :data:`CHECKS`; it stays the same over versions.
    level : {"warning", "hint"}
        Whether training is likely not what was meant, or a habit that many differ on.
    text : str
        One sentence.
    where : list of str
        Tensors by name; empty where all of an optimizer are meant.
    evidence : dict
        Figures by name.
    fix : str
        Lines to paste, or what to do.
    optimizer : str
    """

    id: str
    level: str
    text: str
    fix: str
    where: list[str] = field(default_factory=list)
    evidence: dict[str, Any] = field(default_factory=dict)
    optimizer: str = ""

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)

    def __str__(self) -> str:
        return f"{self.text}\n    {self.fix}"


def findings_of(run: Run) -> list[Finding]:
    """All findings, warnings first."""
    found = list(_coverage(run))
    for watched in run.optimizers:
        medians = watched.medians
        for name, check in CHECKS.items():
            if len(watched.steps) >= LEAST:
                found += [Finding(name, **given, optimizer=watched.name) for given in check(watched, medians)]
    return sorted(found, key=lambda finding: finding.level != "warning")


def _found(
    text: str, fix: str, names: list[str] | None = None, level: str = "warning", **evidence: Any
) -> dict[str, Any]:
    """Fields of a finding; of one about some tensors the sentence begins with their names."""
    text = some(names, 3) + text if names else text
    return {"level": level, "text": text, "fix": fix, "where": names or [], "evidence": evidence}


Given = Iterable[dict[str, Any]]
Medians = dict[str, np.ndarray]


def _coverage(run: Run) -> Iterator[Finding]:
    outside, twice = run.coverage["outside"], run.coverage["twice"]
    if outside:
        text = f" {_are(outside)} trained by no optimizer that is watched, though set to require gradients."
        fix = f"optimizer.add_param_group({_group_line(outside)}}})  # or p.requires_grad_(False)"
        yield Finding("in-no-group", **_found(text, fix, outside, tensors=len(outside)))
    if twice:
        text = f" {_are(twice)} moved more than once a step: in two optimizers, or twice in a group."
        fix = "give each parameter to one group of one optimizer: params = list(dict.fromkeys(params))"
        yield Finding("in-two-groups", **_found(text, fix, twice, tensors=len(twice)))


def _are(names: list[str]) -> str:
    return "is" if len(names) == 1 else "are"


def hardly_moves(watched: Watched, medians: Medians) -> Given:
    """Steps that are no share of a layer to speak of, though they are not rounded away."""
    moves = medians["relative_update"]
    for i in _groups_of(watched, (moves < HARDLY) & ~(medians["absorbed"] > MOST)):
        own, lr = float(np.median(moves[i])), float(np.median(medians["nominal_lr"][i]))
        names = _names(watched, i)
        if np.all(medians["grad_norm"][i] == 0):
            text = " had a gradient of 0 at the measured steps, and did not learn."
            fix = "see that it takes part in the loss; if it should not learn: p.requires_grad_(False)"
        elif lr == 0:
            continue
        else:
            text = f" hardly moved: a step is {own:.1g} of its size."
            fix = f'{_group_line(names)}, "lr": {lr * TYPICAL / own if own else lr * 10:.1g}}}'
        yield _found(text, fix, names, relative_update=own, lr=lr)


def rewritten(watched: Watched, medians: Medians) -> Given:
    """Steps that are a large part of a layer, step after step. Vectors start at 0, and are left out."""
    moves = medians["relative_update"]
    matrices = np.array([len(t["shape"]) >= 2 for t in watched.tensors], bool)
    for i in _groups_of(watched, (moves > REWRITTEN) & matrices):
        own, lr = float(np.median(moves[i])), float(np.median(medians["nominal_lr"][i]))
        names = _names(watched, i)
        text = f" {'was' if len(names) == 1 else 'were'} rewritten again and again: a step is {own:.0%} of its size."
        yield _found(text, f'{_group_line(names)}, "lr": {lr * TYPICAL / own:.1g}}}', names, relative_update=own, lr=lr)


def eps_dominates(watched: Watched, medians: Medians) -> Given:
    """Most coordinates with a gradient have an estimate of its size below eps, so that the rule is SGD with lr/eps there."""
    for i in _groups_of(watched, (medians["eps_dominated"] > MOST) & (medians["grad_norm"] > 0)):
        names, size = _names(watched, i), float(np.median(medians["direction_rms"][i]))
        share = float(np.median(medians["eps_dominated"][i]))
        text = f": eps is above the size of the gradient at {share:.0%} of coordinates, so that lr/eps decides there."
        fix = f'optimizer.param_groups[{watched.tensors[i[0]]["group"]}]["eps"] = {size / 100:.1g}'
        yield _found(text, fix, names, eps_dominated=share, direction_rms=size)


def absorbed(watched: Watched, medians: Medians) -> Given:
    """Steps that the parameter's own dtype rounds away."""
    for i in _groups_of(watched, medians["absorbed"] > MOST):
        names, share = _names(watched, i), float(np.median(medians["absorbed"][i]))
        dtype = watched.tensors[i[0]]["dtype"]
        text = f": {share:.0%} of coordinates lose their step to rounding in {dtype}."
        fix = "model.float()  # and compute in half precision: with torch.autocast(device, dtype=torch.bfloat16): ..."
        yield _found(text, fix, names, absorbed=share, dtype=dtype)


def decay_absorbed(watched: Watched, medians: Medians) -> Given:
    """Weight decay below what the parameter's dtype resolves."""
    resolution = medians["decay_resolution"]
    for i in _groups_of(watched, (resolution > 0) & (resolution < 1)):
        names, own = _names(watched, i), float(np.median(resolution[i]))
        dtype, group = watched.tensors[i[0]]["dtype"], watched.tensors[i[0]]["group"]
        decay = float(np.nanmedian(watched.groups["weight_decay"][:, group]))
        text = f": weight decay is {own:.2g} of the smallest change that {dtype} can hold, and does nothing."
        fix = f'model.float()  # or optimizer.param_groups[{group}]["weight_decay"] = {decay * 2 / own:.1g}'
        yield _found(text, fix, names, decay_resolution=own, dtype=dtype, weight_decay=decay)


def clipping(watched: Watched, medians: Medians) -> Given:
    """Gradients clipped in nearly every step, so that the lr in force is another."""
    max_norm, norm = watched.groups["max_norm"][:, 0], watched.groups["norm"][:, 0]
    seen = ~np.isnan(norm)
    often = np.mean(norm[seen] > max_norm[seen]) if seen.sum() >= LEAST else 0
    if often > NEARLY_ALWAYS:
        factor = float(np.nanmedian(watched.figures["clip_factor"][seen]))
        allowed = float(np.quantile(norm[seen], 0.9))
        yield _found(
            f"Gradients were clipped in {often:.0%} of the measured steps: what reaches the optimizer is {factor:.2g} of the gradient.",
            f"torch.nn.utils.clip_grad_norm_(model.parameters(), max_norm={allowed:.2g})  # clips one step in ten",
            clipped=float(often), clip_factor=factor, max_norm=float(np.median(max_norm[seen])),
        )  # fmt: skip


def decay_on_norms(watched: Watched, medians: Medians) -> Given:
    """Weight decay on biases and on the scales of normalisation."""
    decay = [float(value) for value in middle(watched.groups["weight_decay"])]
    stepped = ~(np.isnan(medians["nominal_lr"]) & np.isnan(medians["relative_update"]))  # frozen ones are left out
    hit = [
        moved and t["group"] < len(decay) and decay[t["group"]] > 0 and (len(t["shape"]) < 2 or "Norm" in t["module"])
        for t, moved in zip(watched.tensors, stepped, strict=True)
    ]
    names = _names(watched, [int(i) for i in np.flatnonzero(hit)])
    if names and any(len(t["shape"]) >= 2 for t in watched.tensors):
        fix = 'groups = [{"params": [p for p in model.parameters() if p.ndim >= 2]}, '
        fix += '{"params": [p for p in model.parameters() if p.ndim < 2], "weight_decay": 0.0}]'
        yield _found(": weight decay acts on norms and biases too.", fix, names, "hint", weight_decay=max(decay))


def moves_without_gradient(watched: Watched, medians: Medians) -> Given:
    """Tensors whose whole gradient is 0, not absent, and that decay and momentum move all the same."""
    norm = watched.figures["grad_norm"]
    none = np.sum(norm == 0, axis=0) > NEARLY_ALWAYS * np.maximum(1, np.sum(~np.isnan(norm), axis=0))
    for i in _groups_of(watched, none & (medians["moved_without_gradient"] > MOST)):
        fix = "p.requires_grad_(False)  # or optimizer.zero_grad(set_to_none=True), which leaves it out of the step"
        moved = float(np.median(medians["moved_without_gradient"][i]))
        text = " moved without a gradient: by momentum or decay."
        yield _found(text, fix, _names(watched, i), moved_without_gradient=moved)


def scheduler_calls(watched: Watched, medians: Medians) -> Given:
    """A scheduler that is never stepped, stepped more than once a step, or not as often as it was planned for."""
    for scheduler in watched.schedulers:
        if len(scheduler["at"]) < 2 or watched.taken < FEW_STEPS:
            continue
        calls = scheduler["steps"][-1] - scheduler["steps"][0]
        steps = scheduler["at"][-1] - scheduler["at"][0]
        planned, kind = scheduler["planned"], scheduler["kind"]
        evidence = {"scheduler_steps": float(calls), "optimizer_steps": float(steps), "planned": planned}
        if calls == 0:
            text = f"{kind} was never stepped: lr stayed as it was for {steps:.0f} steps."
            fix = "after each optimizer.step()"
        elif calls > 1.5 * steps:
            text = f"{kind} was stepped {calls:.0f} times for {steps:.0f} steps of the optimizer."
            fix = "once, and only where optimizer.step() was called"
        elif planned and steps >= planned and calls < planned / 2:
            text = f"{kind} was planned for {planned} of its steps and made {calls:.0f}, in {steps:.0f} steps of the optimizer."
            fix = "after each optimizer.step(), or plan it in the unit in which it is stepped"
        else:
            continue
        yield _found(text, f"scheduler.step()  # {fix}", **evidence)


def lr_at_zero(watched: Watched, medians: Medians) -> Given:
    """An lr that is 0 long before the end, or all the time."""
    lr = np.nanmax(watched.groups["lr"], axis=1, initial=0)
    still = not (medians["relative_update"] > 0).any()
    if lr.max() == 0 and still and not np.isnan(watched.groups["lr"]).all():
        fix = "give an lr above 0; where a schedule begins at 0, step it after each optimizer.step()"
        yield _found("lr was 0 at every measured step, and nothing was learnt there.", fix, steps=watched.taken)
    alive = np.flatnonzero(lr > 1e-8 * lr.max())
    if lr.max() > 0 and len(lr) >= LEAST:
        last = int(watched.steps[alive[-1]])
        over = (watched.taken - 1 - last) / max(1, watched.taken)
        if len(lr) - 1 - alive[-1] >= LEAST and over > LONG_BEFORE:
            text = f"lr is 0 after step {last} of {watched.taken}: the rest of the run learnt nothing."
            fix = f"plan the schedule for {watched.taken} steps, such as T_max={watched.taken} or total_steps={watched.taken}"
            yield _found(text, fix, last_step_with_lr=last, steps=watched.taken)


def not_finite(watched: Watched, medians: Medians) -> Given:
    """Parameters with nan or infinity, which no later step mends."""
    hit = [i for i, t in enumerate(watched.tensors) if t.get("not_finite") is not None]
    if hit:
        first = min(watched.tensors[i]["not_finite"] for i in hit)
        text = (
            f": nan or infinity was first seen after step {first} of {watched.taken}; nothing is learnt from there on."
        )
        fix = "torch.nn.utils.clip_grad_norm_(model.parameters(), max_norm=1.0)  # or a smaller lr, from a checkpoint before it"
        yield _found(text, fix, _names(watched, hit), first_step=first, steps=watched.taken)


def skipped(watched: Watched, medians: Medians) -> Given:
    """Steps that a gradient scaler left out again and again."""
    share = watched.skipped / max(1, watched.skipped + watched.taken)
    if watched.skipped > SKIPS and share > SKIPPED_SHARE:
        text = f"{watched.skipped} steps ({share:.0%}) were skipped, because scaled gradients were not finite."
        fix = "torch.amp.GradScaler(init_scale=2.0**8, growth_interval=10_000)  # or bfloat16, which needs no scaler"
        yield _found(text, fix, skipped=watched.skipped, share=share)


def decay_longer_than_run(watched: Watched, medians: Medians) -> Given:
    """Weight decay whose time scale, one over what it removes of a parameter in a step, is longer than the run."""
    eps = np.array([float(jnp.finfo(t["dtype"]).eps) if t["rule"] else np.nan for t in watched.tensors])
    rate = np.array(
        [np.mean(c[~np.isnan(c)]) if not np.isnan(c).all() else 0 for c in watched.figures["decay_resolution"].T]
    )
    rate = rate * eps / 4
    decay = middle(watched.groups["weight_decay"])
    for group in sorted({t["group"] for t in watched.tensors}):
        own = [r for r, t in zip(rate, watched.tensors, strict=True) if t["group"] == group and r > 0]
        if not own or group >= len(decay) or watched.taken < FEW_STEPS:
            continue
        scale = 1 / float(np.median(own))
        if scale > watched.taken:
            text = f"Weight decay of group {group} has a time scale of {scale:,.0f} steps, 1/(lr·weight_decay), and the run "
            text += f"has {watched.taken:,}: it does not outweigh where the weights started."
            wanted = float(f"{decay[group] * 3 * scale / watched.taken:.1g}")
            fix = f'optimizer.param_groups[{group}]["weight_decay"] = {wanted:g}'
            fix += "  # a time scale of a third of the run, if decay is meant to set the size of the weights"
            evidence = {"time_scale": scale, "steps": watched.taken, "weight_decay": float(decay[group])}
            yield _found(text, fix, level="hint", **evidence)


#: Checks of one optimizer by the id of what they find.
CHECKS: dict[str, Callable[[Watched, Medians], Given]] = {
    "not-finite": not_finite,
    "hardly-moves": hardly_moves,
    "rewritten": rewritten,
    "eps-dominates": eps_dominates,
    "absorbed": absorbed,
    "decay-absorbed": decay_absorbed,
    "clipping": clipping,
    "decay-on-norms": decay_on_norms,
    "moves-without-gradient": moves_without_gradient,
    "scheduler-calls": scheduler_calls,
    "lr-at-zero": lr_at_zero,
    "skipped-steps": skipped,
    "decay-longer-than-run": decay_longer_than_run,
}


def _groups_of(watched: Watched, hit: np.ndarray) -> Iterator[list[int]]:
    """Places of the tensors that were hit, group by group."""
    for group in sorted({t["group"] for t in watched.tensors}):
        places = [int(i) for i in np.flatnonzero(hit) if watched.tensors[i]["group"] == group]
        if places:
            yield places


def _names(watched: Watched, places: list[int]) -> list[str]:
    return [watched.tensors[i]["name"] for i in places]


def _group_line(names: list[str]) -> str:
    return f'{{"params": [p for n, p in model.named_parameters() if n in {names!r}]'
