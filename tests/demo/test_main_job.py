"""The main job, small: a real kill, the books against the history, a page that stands alone."""

from __future__ import annotations

import io
import re

import nbformat
import pytest
from rich.console import Console

import orchkit as ok
from orchkit.demo.main_job import run_demo
from orchkit.view.pages import external_references

ORDERS = 40


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("demo")


@pytest.fixture(scope="module")
def printed():
    return io.StringIO()


@pytest.fixture(scope="module")
def outcome(folder, printed):
    (folder / "orders.duckdb").write_text("what the last demo left behind")
    return run_demo(folder, orders=ORDERS, console=Console(file=printed, width=120))


def test_orders_were_under_way_when_the_engine_was_killed(outcome):
    assert 0 < outcome.under_way <= ORDERS


def test_every_order_comes_to_a_good_end(outcome):
    assert set(outcome.statuses) <= {"COMPLETED", "COMPENSATED"}
    assert sum(outcome.statuses.values()) == ORDERS


def test_the_books_and_the_history_agree(outcome):
    assert outcome.balances, outcome.differences.to_string()


@pytest.mark.usefixtures("outcome")
def test_the_second_process_took_up_the_runs_of_the_first(folder):
    with ok.Engine(folder / "orders.duckdb") as engine:
        starts = engine.sql("select run_id from history where kind = 'run' and status = 'RUNNING'")["run_id"]
        resumed = engine.sql("select count(*) as n from history where payload->>'resumed' = 'true'")["n"][0]

    assert len(set(starts)) == ORDERS
    assert resumed > 0


@pytest.mark.usefixtures("outcome")
def test_metrics_failures_and_the_verdict_are_printed(printed):
    text = printed.getvalue()

    assert re.search(r"cases +│ 40 cases", text)
    assert "completion_rate" in text
    assert "saved by retry" in text
    assert "SIGKILL" in text
    assert re.search(r"Books and history agree on all \d+ effects\.", text)


def test_the_page_is_the_executed_notebook_and_needs_nothing_from_elsewhere(outcome, folder):
    page = outcome.page.read_text(encoding="utf-8")
    cells = nbformat.read(folder / "main_job.ipynb", 4).cells

    assert external_references(page) == []
    assert not re.search(r"""(src|href)\s*=\s*["']?(https?:)?//""", page)
    assert "require.js" not in page
    assert "mathjax" not in page.lower()
    assert page.count("orchkit-diagram") >= 2
    assert all(cell.execution_count for cell in cells if cell.cell_type == "code")
    assert not any(output.output_type == "error" for cell in cells for output in cell.get("outputs", ()))
