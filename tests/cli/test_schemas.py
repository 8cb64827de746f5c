"""Schemas of all that ``--json`` prints. What other tests have commands print is held to them by tests/conftest.py."""

from __future__ import annotations

import inspect
import json
import re
from pathlib import Path

import pytest
import schemas

from lrtheory.cli import _schemas, app
from lrtheory.cli._terminal import print_json

#: Commands that print one of several shapes.
SEVERAL = {"dims": {"dims", "audit"}, "check": {"check", "checks"}, "explain": {"explain", "explain-groups"}}


def text_of(schema: dict) -> str:
    return json.dumps(schema, indent=1, ensure_ascii=False) + "\n"


def write() -> None:
    """Publish them anew."""
    for kind, schema in _schemas.published().items():
        schemas.file_of(kind).write_text(text_of(schema), encoding="utf-8")


@pytest.mark.parametrize("kind", _schemas.SHAPES)
def test_schema_is_published(kind):
    schema = _schemas.published()[kind]
    schemas.Draft202012Validator.check_schema(schema)
    assert schemas.file_of(kind).read_text(encoding="utf-8") == text_of(schema), (
        "a shape that was released gets a new version; PYTHONPATH=.:tests python tests/cli/test_schemas.py writes the files"
    )


def test_every_command_has_a_schema():
    """A new command without one fails here, and one that prints under a name that is not there."""
    commands = {command.callback.__name__: command.callback for command in app.app.registered_commands}
    with_json = {name for name, callback in commands.items() if "json" in inspect.signature(callback).parameters}
    assert with_json == set(commands)
    wanted = set().union(*(SEVERAL.get(name, {name}) for name in with_json))
    assert {kind.partition("/")[0] for kind in _schemas.SHAPES} == wanted
    printed = {
        kind
        for path in Path(app.__file__).parent.glob("*.py")
        for kind in re.findall(r'print_json\(\s*"([^"]+)"', path.read_text(encoding="utf-8"))
    }
    assert printed == set(_schemas.SHAPES)


def test_schemas_that_a_page_for_machines_names_are_there():
    named = re.findall(
        r"\(_static/schemas/(\S+)\.json\)", (schemas.FOLDER.parents[1] / "llms.txt").read_text(encoding="utf-8")
    )
    assert sorted(named) == sorted(path.stem for path in schemas.FOLDER.glob("*.json"))


def test_a_class_without_fields_has_no_schema():
    with pytest.raises(TypeError, match="has no JSON Schema"):
        _schemas.schema(complex)


@pytest.mark.parametrize(
    ("value", "wrong"),
    [
        ({}, "'checks' is a required property"),
        ({"checks": [], "more": 1}, "'more' was unexpected"),
        ({"checks": [{"id": "a", "kinds": "jax", "demands": ""}]}, "'jax' is not of type 'array'"),
        ({"checks": None}, "None is not of type 'array'"),
    ],
)
def test_an_output_that_its_schema_does_not_allow_fails_a_test(value, wrong):
    with pytest.raises(AssertionError, match=wrong):
        print_json("checks/1", value)


def test_a_field_that_a_schema_does_not_demand_is_found_out(monkeypatch):
    """The look at mutants is not blind itself."""
    lax = {"properties": {"schema": {"type": "string"}, "checks": {"type": "array", "items": {}}}}
    monkeypatch.setattr(schemas, "validator", lambda kind: schemas.Draft202012Validator(lax))
    made = schemas.held(lambda kind, value: {"schema": f"lrtheory/{kind}", **value})
    with pytest.raises(AssertionError, match=r"allows .*checks.* dropped"):
        made("checks/1", {"checks": []})


if __name__ == "__main__":
    write()
