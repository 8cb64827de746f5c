"""Groups explained, of a live optimizer or several SPECs: each as its SPEC with the numbers now in force."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ..adopting import Adopted, Group, adopt
from ..adopting.adopted import of_rule, own_spec
from ..groups import alone, names_by_label
from ..numbers import check_hyper
from ..rescaling import Change
from ..words import some
from .explanation import Explanation, explain

#: How many names are shown.
SHOWN = 4


@dataclass(frozen=True)
class ExplainedGroup:
    """A group of a live optimizer, and what is known of it.

    Attributes
    ----------
    group : Group
        As it was adopted, without its arrays.
    explanation : Explanation or None
        ``None`` for an opaque group.
    reason : str
        Why there is none.
    """

    group: Group
    explanation: Explanation | None
    reason: str = ""

    def lines(self) -> Iterator[str]:
        """For a terminal."""
        names = self.group.names
        label = f" {self.group.label!r}" if self.group.label else ""
        counted = f"{len(names)} parameter{'' if len(names) == 1 else 's'}"
        none = "" if self.group.label else ", no parameters yet"
        yield f"group{label}" + (f" of {counted}: {some(names, SHOWN)}" if names else none)
        found = self.explanation
        if found is None:
            lr = "" if self.group.lr is None else f", lr {self.group.lr:.6g}"
            yield f"  opaque{lr}: {self.reason}"
            return
        yield f"  {found.title}"
        changed = not found.change.is_none
        for number in found.numbers:
            yield f"  {number.name} = {number.value:.6g}  {number.units}" + (
                f" → {number.becomes:.6g}" if changed else ""
            )
        for row in found.effective:
            steady = "–" if row.steady is None else f"{row.steady:.6g}"
            yield f"  effective lr for |g| = {row.gradient:g}: first step {row.first:.6g}, settled {steady}"
        yield from (f"  {fact.name}: {fact.said}" for fact in found.facts)
        yield from (f"  · {note}" for note in (*self.group.notes, *(found.notes if changed else ())))
        if changed:
            yield from (f"  {line}" for line in found.code.splitlines())


@dataclass(frozen=True)
class LiveExplanation:
    """What is known of a live optimizer; its text is for a terminal.

    Attributes
    ----------
    adopted : Adopted
    groups : tuple of ExplainedGroup
    """

    adopted: Adopted
    groups: tuple[ExplainedGroup, ...]

    def __str__(self) -> str:
        """One block a group."""
        lines = [f"{self.adopted.framework}'s {self.adopted.kind}", *(f"· {note}" for note in self.adopted.notes)]
        everything = {name for group in self.adopted.groups for name in group.names}
        for around in self.adopted.around:
            lines.append(
                f"{around} before {'all groups' if everything <= set(around.over) else some(around.over, SHOWN)}"
            )
        return "\n\n".join(["\n".join(lines), *("\n".join(group.lines()) for group in self.groups)])

    def as_json(self) -> dict[str, Any]:
        """All of it in plain types."""
        return {
            "framework": self.adopted.framework,
            "optimizer": self.adopted.kind,
            "notes": list(self.adopted.notes),
            "around": [str(around) for around in self.adopted.around],
            "groups": [
                {
                    "names": list(one.group.names),
                    "label": one.group.label,
                    "lr": one.group.lr,
                    "reason": one.reason,
                    "notes": list(one.group.notes),
                    "explanation": None if one.explanation is None else one.explanation.as_json(),
                }
                for one in self.groups
            ],
        }


def explain_live(optimizer: Any, change: Change | None = None, *, model: Any = None) -> LiveExplanation:
    """Explain an optimizer that :func:`lrtheory.adopt` reads; optax's as ``(transformation, state[, params])``."""
    adopted = adopt(optimizer, model=model, arrays=False)
    known: dict[str, Explanation] = {}
    return LiveExplanation(adopted, tuple(_explained(group, change, known) for group in adopted.groups))


def explain_rule(rule: Any, hyper: Any, params: Any = None, *, change: Change | None = None) -> LiveExplanation:
    """Explain a rule of ours with its hyperparameters, group by group where it has groups; ``params`` give names."""
    check_hyper(rule, hyper)
    names = {} if params is None else names_by_label(rule, params)
    each = alone(rule, hyper)
    groups = [
        Group(names.get(label, ()), own, numbers, lr=numbers.lr, label=label, spec=own_spec(own, numbers))
        for label, (own, numbers) in each.items()
    ]
    still = [label for label in names if label not in each]
    groups += [Group(names[label], None, reason="frozen", lr=0.0, label=label) for label in still]
    known: dict[str, Explanation] = {}
    return LiveExplanation(of_rule(rule, tuple(groups)), tuple(_explained(group, change, known) for group in groups))


def explain_specs(specs: Mapping[str, str], change: Change | None = None) -> LiveExplanation:
    """Explain a SPEC for each group, by its label."""
    explained = {label: explain(spec, change) for label, spec in specs.items()}
    groups = (
        ExplainedGroup(Group((), None, spec=found.spec, label=label), found) for label, found in explained.items()
    )
    frameworks = " and ".join(dict.fromkeys(found.framework for found in explained.values()))
    return LiveExplanation(Adopted(frameworks, "SPECs", ()), tuple(groups))


def _explained(group: Group, change: Change | None, known: dict[str, Explanation]) -> ExplainedGroup:
    if group.rule is None:
        return ExplainedGroup(group, None, group.reason)
    if group.spec not in known:
        known[group.spec] = explain(group.spec, change)
    return ExplainedGroup(group, known[group.spec])
