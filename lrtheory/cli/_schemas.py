"""The shape of all that ``--json`` prints; the JSON Schemas of docs/_static/schemas are made of it.

A shape is a type; a class with fields, or a dict of fields: an object that has these and no other; ``{str: X}``, which maps any
names to X; ``[X]``, a list; or a tuple of shapes, one of which it has. A number that may be infinite is then the text ``inf`` or
``-inf``, and one that may be unknown is ``float | None``: there is no nan in JSON. Whatever changes a shape raises its version.
"""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Mapping
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints, is_typeddict

from parity.compare import Difference
from parity.conformance.outcome import Result
from parity.diagnosis.told import Change as Setting
from parity.experiments.matched_size import MatchedRun
from parity.measured import Meta, ParityRow, TrainingRun, Verdict

from ..checkpoints import Fault, Judgement
from ..explaining.explanation import Explanation, Level
from ..explaining.facts import Fact
from ..explaining.trained import EffectiveLr
from ..laws import SECTIONS, Evidence, Law
from ..port import Config
from ..rescaling import Change
from ..translating import Translated
from ..watching.findings import Finding
from ..watching.table import Row

Shape = Any

PLAIN: dict[Any, dict[str, Any]] = {
    str: {"type": "string"},
    int: {"type": "integer"},
    bool: {"type": "boolean"},
    float: {"anyOf": [{"type": "number"}, {"enum": ["inf", "-inf"]}]},
    type(None): {"type": "null"},
    None: {"type": "null"},
    Any: {},
}


def fields(of: Any, *names: str, without: tuple[str, ...] = ()) -> dict[str, Shape]:
    """Fields of a class by name, those named or all."""
    hints = get_type_hints(of)
    return {name: hints[name] for name in names or hints if name not in without}


def or_unknown(of: Any, without: tuple[str, ...] = ()) -> dict[str, Shape]:
    """The same where every number may be unknown."""
    return {name: float | None if hint is float else hint for name, hint in fields(of, without=without).items()}


def schema(shape: Shape) -> dict[str, Any]:
    """A shape as JSON Schema."""
    if isinstance(shape, dict) and set(shape) != {str}:
        properties = {name: schema(of) for name, of in shape.items()}
        return {"type": "object", "properties": properties, "required": [*shape], "additionalProperties": False}
    if isinstance(shape, dict):
        return {"type": "object", "additionalProperties": schema(shape[str])}
    if isinstance(shape, list):
        (entry,) = shape
        return {"type": "array", "items": schema(entry)}
    if isinstance(shape, tuple):
        return {"anyOf": [schema(one) for one in shape]}
    if shape in PLAIN:
        return PLAIN[shape]
    kind, within = get_origin(shape), get_args(shape)
    if kind is Literal:
        return {"enum": [*within]}
    if kind in (Union, types.UnionType):
        return schema(within)
    if kind is not None:
        return schema({str: within[1]} if issubclass(kind, Mapping) else [within[0]])
    if is_typeddict(shape) or dataclasses.is_dataclass(shape) or issubclass(shape, tuple):
        return schema(fields(shape))
    raise TypeError(f"{shape!r} has no JSON Schema: expected a type, a class with fields, a dict, a list or a tuple")


LINE = {"file": str, "line": int, "source": str}
WHERE = {**LINE, "function": str, "called_from": [str]}
QUANTITY = {"units": str, "loss": str, "param": str, "free": bool, "tied": str | None}
DIMENSIONS = {
    "target": str,
    "status": Literal["proven", "guarded", "broken", "unknown"],
    "verdict": str,
    "hyper": {str: QUANTITY},
    "state": {str: QUANTITY},
    "update": str,
    "breaks": [
        {
            "at": (WHERE, None),
            "statement": str,
            "residual": str,
            "literal": float | None,
            "chain": [{"at": (WHERE, None), "demand": str}],
        }
    ],
    "survives": str | None,
    "guards": [{"at": (WHERE, None), "condition": str, "residual": str}],
    "notes": [str],
}
EXPLANATION = {
    **fields(Explanation, "spec", "framework"),
    "rule": str,
    "formula": str,
    "numbers": [
        {"name": str, "value": float, "units": str, "exponents": {"loss": str, "param": str}, "becomes": float}
    ],
    "schedule": [Level],
    "schedule_after": [Level],
    "effective_lr": [or_unknown(EffectiveLr)],
    **fields(Explanation, "unsettled"),
    "facts": [Fact],
    "facts_after": [Fact],
    "change": {**fields(Change), "reduction_assumed": bool},
    "exactness": str | None,
    "meaning": str | None,
    "notes": [str],
    "code": str,
    "warnings": [str],
}
GENERATOR = {"exponents": {str: str}, "exact": bool, "guards": [int]}
TRIED = {
    "passed": bool,
    "tolerance": float,
    "generators": [{"generator": str, "change": float, "beyond": float | None, "euler": float | None}],
    "fixed": {str: float},
    "missed": [str],
    "untried": [str],
}
EVIDENCE = {**or_unknown(Evidence), "figures": {str: float | None}, "holds": bool}
CAUGHT = {"caught": bool, "residual": float | None, "bound": float | None}
OPTIMIZER = {"name": str, "kind": str, "steps": int, "measured": int, "skipped": int}

#: What a command prints, by the name and version that ``schema`` in it says after ``lrtheory/``.
SHAPES: dict[str, dict[str, Shape]] = {
    "report/1": {
        "page": str,
        "data": str,
        "meta": Meta,
        "verdicts": [Verdict],
        "training": [{n: t for n, t in or_unknown(TrainingRun).items() if get_origin(t) is not list}],
    },
    "replay/1": {"rows": [or_unknown(ParityRow)]},
    "dims/1": DIMENSIONS,
    "audit/1": {
        "rows": [
            ({"name": str, **DIMENSIONS}, {"name": str, "target": str, "status": Literal["skipped"], "reason": str})
        ]
    },
    "symmetries/1": {
        "target": str,
        "tensors": [str],
        "generators": [GENERATOR],
        "exact": [GENERATOR],
        "invariant": [str],
        "fixed": {str: {"at": (LINE, None), "statement": str}},
        "unread": [str],
        "guards": [
            {
                "at": (LINE, None),
                "condition": str,
                "eps": float | None,
                "smallest": float | None,
                "typical": float | None,
            }
        ],
        "unknown": [{"name": str, "at": (LINE, None)}],
        "notes": [str],
        "verified": (TRIED, None),
    },
    "check/1": {
        "target": str,
        "kind": str,
        "notes": [str],
        "failed": int,
        "results": [fields(Result, without=("ended",))],
    },
    "checks/1": {"checks": [{"id": str, "kinds": [str], "demands": str}]},
    "diagnose/1": {
        "a": str,
        "b": str,
        "outcome": Literal["same", "settings", "unseen", "unknown"],
        "changes": [Setting],
        "sentence": str,
        "size": float,
        "first_difference": (or_unknown(Difference), None),
        "verified": str,
        "residual": float,
        "unseen": [str],
    },
    "explain/1": EXPLANATION,
    "explain-groups/1": {"groups": [EXPLANATION]},
    "port/1": {**fields(Config), "differs": str},
    "translate/1": {
        **fields(Translated),
        "rule": str,
        "hyper": {str: float},
        "digits": [or_unknown(MatchedRun)],
        "not_run": str,
    },
    "laws/1": {
        "laws": [
            {
                "section": Literal[*SECTIONS],  # type: ignore[valid-type]
                **fields(Law, "id", "title", "kind", "statement", "scope", "source"),
                "formula": str,
                **fields(Law, "claim", "decision"),
                "evidence": EVIDENCE,
                "mutants": ([str], {str: CAUGHT}),
            }
        ]
    },
    "watch/1": {
        "ended": bool,
        "notes": [str],
        "coverage": {"outside": [str], "twice": [str]},
        "findings": [Finding],
        "tensors": [or_unknown(Row)],
        "optimizers": [OPTIMIZER],
    },
    "resume/1": {
        **fields(Judgement),
        "optimizers": [{"path": str, "kind": str, "reason": str, "groups": int, "tensors": int, "steps": int | None}],
        "faults": [Fault],
        "sound": bool,
    },
}


def published() -> dict[str, dict[str, Any]]:
    """Every schema, by its name and version."""
    return {
        name: {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "$id": f"lrtheory/{name}",
            **schema({"schema": Literal[f"lrtheory/{name}"], **shape}),  # type: ignore[valid-type]
        }
        for name, shape in SHAPES.items()
    }
