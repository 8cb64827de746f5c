"""Outputs of commands against the schemas that are published in docs/_static/schemas."""

from __future__ import annotations

import copy
import functools
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

FOLDER = Path(__file__).parents[1] / "docs" / "_static" / "schemas"


def file_of(kind: str) -> Path:
    """Where the schema of this name and version stands."""
    return FOLDER / f"{kind.replace('/', '.')}.json"


@functools.cache
def validator(kind: str) -> Draft202012Validator:
    return Draft202012Validator(json.loads(file_of(kind).read_text(encoding="utf-8")))


def fault(printed: Any) -> str | None:
    """What is wrong with an output, or ``None``."""
    found = best_match(validator(printed["schema"].removeprefix("lrtheory/")).iter_errors(printed))
    return found and f"{printed['schema']}, {found.json_path}: {found.message}"


def held(as_printed: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    """The function that makes outputs, and a look at each: its schema allows it, and it with a field less no longer."""
    mutated = set()

    def printed(kind: str, value: Any) -> dict[str, Any]:
        made = as_printed(kind, value)
        assert fault(made) is None, fault(made)
        if kind not in mutated:
            mutated.add(kind)
            passed = [what for what, wrong in mutants(made, validator(kind).schema) if validator(kind).is_valid(wrong)]
            assert not passed, f"lrtheory/{kind} allows {passed}"
        return made

    return printed


def mutants(printed: Any, schema: Any) -> Iterator[tuple[str, Any]]:
    """The output with each of its fields dropped, renamed and of another type; what is a mapping of free names has none."""
    for path in sorted(set(fields(printed, schema)), key=str):
        *within, name = path

        def changed(change: Callable[[dict[str, Any]], Any], within: list[Any] = within) -> Any:
            wrong = copy.deepcopy(printed)
            change(functools.reduce(lambda value, key: value[key], within, wrong))
            return wrong

        yield f"{path} dropped", changed(lambda of, name=name: of.pop(name))
        yield f"{path} renamed", changed(lambda of, name=name: of.update({f"{name}s": of.pop(name)}))
        yield (
            f"{path} of another type",
            changed(lambda of, name=name: of.update({name: 0 if isinstance(of[name], dict) else {"no": ["such"]}})),
        )


def fields(value: Any, schema: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Paths of the fields of objects whose fields are fixed: of a list, those of its first entry."""
    for one in schema.get("anyOf", [schema]):
        if not Draft202012Validator(one).is_valid(value):
            continue
        if isinstance(value, list) and value:
            yield from fields(value[0], one["items"], (*path, 0))
        elif isinstance(value, dict) and "properties" in one:
            for name, of in one["properties"].items():
                if of:  # anything may stand there
                    yield (*path, name)
                yield from fields(value[name], of, (*path, name))
        elif isinstance(value, dict) and value and one.get("additionalProperties"):
            name = next(iter(value))
            yield from fields(value[name], one["additionalProperties"], (*path, name))
