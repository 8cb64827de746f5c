"""Writing: both files or neither, and never half of one."""

from __future__ import annotations

import json
import math
import os

import pytest

from lrtheory import outputs as files
from lrtheory.outputs import plain, replace_all
from parity.report import write

from .synthetic import report


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_write_makes_the_directory_and_both_files(tmp_path):
    page = write(report(), tmp_path / "new" / "folder")
    assert page == tmp_path / "new" / "folder" / "index.html"
    assert names(page.parent) == ["index.html", "report.json"]


def test_write_is_under_5_megabytes(tmp_path):
    assert write(report(), tmp_path).stat().st_size < 5e6


def test_write_stores_the_data_and_null_for_what_is_not_finite(tmp_path):
    given = report()
    write(given, tmp_path)
    stored = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"), parse_constant=pytest.fail)
    assert stored["training"][2]["largest_difference"] is None
    assert stored == plain(given)


def test_plain_changes_nothing_else():
    given = {"a": [1, 0.5, True, None, "nan"], "b": {"c": (math.inf, -math.inf, math.nan)}}
    assert plain(given) == {"a": [1, 0.5, True, None, "nan"], "b": {"c": [None, None, None]}}


@pytest.mark.parametrize("failing", ["open", "fsync", "replace"])
def test_replace_all_keeps_the_old_files_on_failure(failing, tmp_path, monkeypatch):
    old = {tmp_path / "report.json": "old data", tmp_path / "index.html": "old page"}
    for path, text in old.items():
        path.write_text(text)

    def full(*arguments, **options):
        raise OSError(28, "No space left on device")

    if failing == "open":
        monkeypatch.setattr(files, "open", full, raising=False)
    else:
        monkeypatch.setattr(files.os, failing, full)
    with pytest.raises(OSError, match="No space"):
        replace_all(dict.fromkeys(old, "new"))
    assert {path: path.read_text() for path in old} == old
    assert names(tmp_path) == ["index.html", "report.json"]  # nothing temporary is left


def test_write_that_cannot_draw_keeps_the_old_files(tmp_path):
    write(report(), tmp_path)
    before = {name: (tmp_path / name).read_bytes() for name in names(tmp_path)}
    broken = report()
    broken["verdicts"][0]["figure"] = "no-such-figure"  # type: ignore[typeddict-item]
    with pytest.raises(ValueError, match="no-such-figure"):
        write(broken, tmp_path)
    assert {name: (tmp_path / name).read_bytes() for name in names(tmp_path)} == before


def test_replace_all_renames_only_when_all_is_written(tmp_path, monkeypatch):
    seen = []
    rename = os.replace

    def watched(source, target):
        seen.append(names(tmp_path))
        rename(source, target)

    monkeypatch.setattr(files.os, "replace", watched)
    replace_all({tmp_path / "a": "1", tmp_path / "b": "2"})
    assert len(seen[0]) == 2  # both temporary files were there at the first rename
    assert names(tmp_path) == ["a", "b"]


def test_written_files_are_as_readable_as_any_other(tmp_path):
    (tmp_path / "ordinary").write_text("")
    replace_all({tmp_path / "report.json": "{}"})
    assert (tmp_path / "report.json").stat().st_mode == (tmp_path / "ordinary").stat().st_mode
