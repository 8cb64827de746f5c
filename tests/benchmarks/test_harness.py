"""What the benchmarks are timed, kept and drawn with."""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from benchmarks import harness, pages

ROOT = Path(__file__).parents[2]


def test_candidates_run_in_turns_and_none_follows_the_same_one_always(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a candidate leaves behind, such as threads that look out for work, must not fall on one of the others alone."""
    monkeypatch.setattr(harness, "PAUSE", 0)
    monkeypatch.setattr(harness, "LEAST", 0)
    ran: list[str] = []
    names = list("abcde")
    timings = harness.interleaved({n: lambda n=n: ran.append(n) for n in names}, rounds=40, warm_up=1)
    rounds = [ran[i : i + 5] for i in range(0, len(ran), 5)]
    assert all(sorted(turn) == names for turn in rounds)
    assert {name: len(seconds) for name, seconds in timings.seconds.items()} == dict.fromkeys(names, 40)
    followed = Counter(itertools.pairwise(ran))
    # Of 40 turns a fourth each; a fixed cycle that starts elsewhere each round makes it four fifths for one.
    assert max(followed.values()) < 20


def test_what_is_short_is_timed_over_several_calls() -> None:
    ran: list[str] = []
    timings = harness.interleaved({"a": lambda: ran.append("a")}, rounds=3, warm_up=1)
    assert len(ran) > 3 * 100
    assert timings.time("a").median < harness.LEAST / 100


def test_ratio_is_the_median_of_ratios_and_not_the_ratio_of_medians() -> None:
    timings = harness.Timings({"a": [1.0, 10.0, 9.0], "b": [1.0, 5.0, 3.0]})
    assert timings.ratio("a", "b") == (1.5, 2.0, 2.5)
    assert timings.time("a").median / timings.time("b").median == 3.0


def test_records_come_back_with_machine_and_versions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(harness, "RESULTS", tmp_path)
    harness.save("some", [{"size": 3}])
    facts, records = harness.load("some")
    assert records == [{"size": 3}]
    assert {"date", "python", "jax", "cores"} <= set(facts)
    assert str(ROOT) not in (tmp_path / "some.json").read_text()


def test_tables_are_filled_between_their_markers_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    table = harness.Table("t", ["x", "y"], [["a", "1"]])
    facts = {"date": "2020-01-01", "python": "3.11", "cores": 2, "processor": "P", "machine": "m"}
    monkeypatch.setattr(pages, "tables", lambda name: (facts, {"part": table}))
    page = "before\n<!-- benchmark: some/part -->\nold\n<!-- /benchmark -->\nafter\n"
    filled = pages.filled(page)
    assert "| a | 1 |" in filled
    assert "2020-01-01" in filled
    assert "old" not in filled
    assert filled.startswith("before\n")
    assert filled.endswith("after\n")
    assert pages.filled(filled) == filled
    with pytest.raises(KeyError, match="has no table 'other': it has part"):
        pages.filled(page.replace("some/part", "some/other"))


def test_docs_show_what_was_measured_last() -> None:
    """Every table in README and docs is that of the kept results."""
    marked = [page for page in pages.PAGES if pages.MARKED.search(page.read_text())]
    assert marked, "no page shows a benchmark"
    for page in marked:
        text = page.read_text()
        assert text.count("<!-- benchmark:") == len(pages.MARKED.findall(text)), page
        assert pages.filled(text) == text, f"{page.name}: python -m benchmarks --render"


def test_chart_is_the_same_text_for_the_same_records() -> None:
    from benchmarks import charts  # with matplotlib

    points = [("one", 1.0, 1.0), ("one", 10.0, 3.0), ("two", 1.0, 2.0), ("two", 10.0, 2.0)]
    first, second = (charts.svg(charts.growth(points, x="n", y="s", title="t")) for _ in range(2))
    assert first == second
    assert "two" in first


def test_unknown_benchmark_is_told_the_known_ones() -> None:
    done = subprocess.run([sys.executable, "-m", "benchmarks", "fast"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    assert "no benchmark named 'fast'" in done.stderr
    assert "one_step" in done.stderr


def test_page_of_an_accelerator_is_left_alone_on_a_cpu(capsys: pytest.CaptureFixture[str]) -> None:
    from benchmarks import gpu_check

    before = gpu_check.PAGE.read_text() if gpu_check.PAGE.exists() else None
    assert gpu_check.main() == 0
    assert capsys.readouterr().out.count("\n") == 1
    assert (gpu_check.PAGE.read_text() if gpu_check.PAGE.exists() else None) == before


def test_accelerator_page_has_speed_and_parity_and_says_who_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """On the CPU, small; a rule that is wrong is seen, and what time ran out for is not said to hold."""
    from benchmarks import gpu_check
    from parity import GATES

    monkeypatch.setattr(gpu_check, "STEPS", {"adamw": gpu_check.STEPS["adamw"]})
    speed = gpu_check.one_step([(10, 100), (3,)], "two tensors", rounds=3)
    assert "–" not in speed.rows[0]
    tables = [speed, gpu_check.parity(["lion"])]
    text = "".join(gpu_check.page(tables))
    assert "adamw" in text
    assert "| lion |" in text
    assert "holds" in text
    assert gpu_check.failures(tables) == []
    late = [gpu_check.parity(until=0), gpu_check.verified_laws(until=0), gpu_check.one_step([(3,)], "late", until=0)]
    assert [row[-1] for table in late for row in table.rows] == [gpu_check.TIME_IS_UP] * 3
    monkeypatch.setitem(GATES, "float64", -1.0)
    assert "lion, 4 of 4 fail" in gpu_check.failures([gpu_check.parity(["lion"])])[0]


@pytest.mark.deep
def test_dry_form_of_the_accelerator_check_does_every_part(capsys: pytest.CaptureFixture[str]) -> None:
    from benchmarks import gpu_check

    before = gpu_check.PAGE.read_text()
    assert gpu_check.main(["--dry"]) == 0
    printed = capsys.readouterr().out
    for part in ("1,000 parameters", "ResNet-50", "GPT-2 small", "A sweep of 16 runs", "Laws", "Parity"):
        assert part in printed
    assert gpu_check.TIME_IS_UP not in printed
    assert gpu_check.PAGE.read_text() == before
