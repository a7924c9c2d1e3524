"""The table, the result file, the README's figures, and two results beside each other."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from bench import compare, result
from bench.errors import BenchError
from bench.peers import OURS
from bench.report import BEGIN, END, report, table, write_readme
from tests.bench.made_up import made, measured


def test_a_table_is_markdown_with_even_columns() -> None:
    """Each column is as wide as its widest cell."""
    assert "| a   | b  |\n| --- | -- |\n| ccc | dd |" == table(("a", "b"), [("ccc", "dd")])
    assert "" == table(("a", "b"), [])


def test_the_report_tells_cost_ratio_and_bar() -> None:
    """What was reached stands beside what was wanted."""
    text = report(made(measured(OURS, 1, 10), measured("websockify", 1, 30), measured("haproxy", 1, 10)))
    assert "3.00, met: 2" in text
    assert "1.00, MISSED: 1.5" in text
    assert "10,486 µs/MiB" in text


def test_a_machine_that_was_not_quiet_is_told() -> None:
    """Turns in which others took a part of the relay's core are counted."""
    quiet = measured(OURS, 1, 10)
    loud = dataclasses.replace(quiet, extra={"others_cpu": quiet.seconds / 10})
    assert "quiet" not in report(made(quiet))
    assert "Not a quiet machine: in 1 of 2 turns" in report(made(quiet, loud))


def test_the_readme_keeps_everything_around_the_figures(tmp_path: Path) -> None:
    """Only what stands between the marks is written anew, plots of the result included."""
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    path = result.write(made(measured(OURS, 1, 10)), tmp_path / "results")
    path.with_name(f"{path.stem}-ratios.png").touch()
    write_readme(result.read(path), path, readme)
    text = readme.read_text()
    assert text.startswith(f"before\n{BEGIN}\n")
    assert text.endswith(f"{END}\nafter\n")
    assert "old" not in text
    assert f"](results/{path.stem}-ratios.png)" in text


def test_a_readme_without_marks_is_left_alone(tmp_path: Path) -> None:
    """Nothing is written where nobody said where."""
    readme = tmp_path / "README.md"
    readme.write_text("text")
    with pytest.raises(BenchError, match="to put the figures between"):
        write_readme(made(measured(OURS, 1, 10)), tmp_path / "any.json", readme)


def test_a_result_file_holds_everything(tmp_path: Path) -> None:
    """What was written is read; a second one of the same day and commit takes another name."""
    written = made(measured(OURS, 1, 10), measured("websockify", 1, 30))
    first, second = (result.write(written, tmp_path) for _ in range(2))
    assert "2026-01-02-abc1234.json" == first.name
    assert "2026-01-02-abc1234-2.json" == second.name
    assert written == result.read(first)
    assert {"bulk-64k": {"websockify cpu": 3.0}} == result.ratios(written)


def test_a_file_that_is_no_result_is_told(tmp_path: Path) -> None:
    """The error names the file."""
    path = tmp_path / "any.json"
    path.write_text("{}")
    with pytest.raises(BenchError, match=r"any\.json is not a result"):
        result.read(path)


def test_results_are_compared_by_their_ratios() -> None:
    """A machine twice as slow changes nothing; a ratio that fell by a tenth is told."""
    old = made(measured(OURS, 1, 10), measured("websockify", 1, 30), measured("haproxy", 1, 20))
    new = made(measured(OURS, 1, 20), measured("websockify", 1, 60), measured("haproxy", 1, 30))
    words = {change.against: change.word for change in compare.changes(old, new)}
    assert {"websockify cpu": "", "haproxy cpu": "WORSE"} == words
    assert "better" in compare.comparison(new, old)


def test_the_last_result_of_the_same_machine_is_compared_with(tmp_path: Path) -> None:
    """One of another machine in between is passed over."""
    turns = measured(OURS, 1, 10), measured("websockify", 1, 30)
    days = {"2026-01-01": "Any", "2026-01-02": "Other", "2026-01-03": "Any"}
    for day, cpu in days.items():
        result.write(made(*turns, moment=f"{day}T00:00:00+00:00", cpu=cpu), tmp_path)
    (tmp_path / "2026-01-04-soak.json").write_text('{"kind": "soak", "moment": "2026-01-04"}')
    old, new = compare.last_two(tmp_path)
    assert ("2026-01-01", "2026-01-03") == (old.name[:10], new.name[:10])


def test_a_first_result_has_nothing_to_be_compared_with(tmp_path: Path) -> None:
    """It is said, with the reason."""
    with pytest.raises(BenchError, match="there is no result"):
        compare.last_two(tmp_path)
    result.write(made(measured(OURS, 1, 10)), tmp_path)
    with pytest.raises(BenchError, match="no earlier result of the same machine"):
        compare.last_two(tmp_path)
