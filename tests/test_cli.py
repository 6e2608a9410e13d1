from __future__ import annotations

import json

import pandas as pd
import pytest
from typer.testing import CliRunner

import orchkit as ok
from orchkit.cli import app


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    path = tmp_path_factory.mktemp("store") / "state.duckdb"

    def ship(order):
        if order["id"] == "A-2":
            raise ok.PermanentError("no such address")

    with ok.Engine(path, handlers=[ship]) as engine:
        workflow = ok.workflow("order", [ok.task("ship")])
        for case in ("A-1", "A-2"):
            engine.run(workflow, {"order": {"id": case}}, case_id=case)
    return path


def run(*words, code=0):
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == code, result.output
    return result.output


def test_runs_are_listed_and_filtered(store):
    rows = [json.loads(line) for line in run("runs", store, "--status", "failed", "--json").splitlines()]

    assert [(row["case_id"], row["status"], row["error_message"]) for row in rows] == [
        ("A-2", "FAILED", "no such address")
    ]
    assert "A-1" in run("runs", store)


def test_a_run_is_shown_by_its_case(store):
    (row,) = [json.loads(line) for line in run("show", store, "A-2", "--json").splitlines()]

    assert (row["activity"], row["attempt"], row["status"]) == ("ship", 1, "FAILED")


def test_a_run_that_is_not_there_is_said(store):
    result = CliRunner().invoke(app, ["show", str(store), "A-3"])

    assert isinstance(result.exception, ok.RunNotFound)
    assert "has no run and no case 'A-3'" in str(result.exception)


def test_metrics_failures_and_lines_are_what_the_verbs_say(store):
    values = {row["metric"]: row["value"] for row in map(json.loads, run("metrics", store, "--json").splitlines())}

    assert (values["cases"], values["error_rate"]) == (2, 0.5)
    assert json.loads(run("failures", store, "--json"))["activity"] == "ship"
    assert [json.loads(line)["status"] for line in run("lines", store).splitlines()] == ["COMPLETED", "FAILED"]


def test_a_backup_is_a_store_and_never_writes_over_a_file(store, tmp_path):
    copy = tmp_path / "copy.duckdb"
    run("backup", store, copy)

    assert run("runs", copy, "--json") == run("runs", store, "--json")
    result = CliRunner().invoke(app, ["backup", str(store), str(copy)])
    assert "is there already" in str(result.exception)


def test_the_log_is_exported_as_two_tables(store, tmp_path):
    run("export", store, tmp_path / "out")

    steps = pd.read_parquet(tmp_path / "out" / "steps.parquet")
    assert list(steps["status"]) == ["COMPLETED", "FAILED"]
    assert len(pd.read_parquet(tmp_path / "out" / "cases.parquet")) == 2


def test_a_store_that_an_engine_holds_can_be_backed_up_by_the_engine(tmp_path):
    with ok.Engine(tmp_path / "state.duckdb", handlers={"ship": dict}) as engine:
        engine.start(ok.workflow("order", [ok.task("ship"), ok.wait_for(callback="paid")]), case_id="A-1")
        copy = engine.backup(tmp_path / "copy.duckdb")
        engine.cancel(engine.find("order", "A-1"))
    with ok.Engine(copy, handlers={"ship": dict}) as engine:
        run = engine.find("order", "A-1")
        engine.complete(run, "paid")
        assert run.wait().status == "COMPLETED"


def test_a_workflow_with_errors_gives_code_1(tmp_path):
    path = tmp_path / "w.yaml"
    path.write_text("workflow: w\nnodes: {a: start, b: task, c: task, e: end}\nflows: [a -> b -> e]\n")

    assert "c" in run("check", path, code=1)


HANDLERS = """
import pathlib
def ship(order):
    if not pathlib.Path(order["flag"]).exists():
        raise ValueError("no such address")
    return "sent"
"""


def test_a_run_fails_is_listed_is_retried_and_completes(tmp_path):
    (tmp_path / "handlers.py").write_text(HANDLERS)
    (tmp_path / "w.yaml").write_text("workflow: order\nsteps: [{task: ship}]\n")
    store, flag, given = tmp_path / "s.duckdb", tmp_path / "flag", ["--handlers", tmp_path / "handlers.py"]
    order = f"order={json.dumps({'flag': str(flag)})}"

    shown = run("run", tmp_path / "w.yaml", "--store", store, "--case", "A-1", "--set", order, *given, code=1)
    assert "FAILED at 'ship': no such address" in shown
    (letter,) = [json.loads(line) for line in run("dead-letters", store, "--failed", "--json").splitlines()]
    assert (letter["case_id"], letter["node"]) == ("A-1", "ship")
    flag.write_text("")
    rows = run("retry", store, "A-1", "--by", "Ada", "--json", *given).splitlines()
    assert [json.loads(row)["status"] for row in rows] == ["FAILED", "COMPLETED"]


def test_a_run_is_cancelled_and_one_without_its_handlers_is_told(tmp_path):
    (tmp_path / "w.yaml").write_text("workflow: order\nsteps: [{wait_for: {callback: paid}}, {task: ship}]\n")
    with ok.Engine(tmp_path / "s.duckdb", handlers={"ship": dict}) as engine:
        engine.start(ok.read_workflow(tmp_path / "w.yaml"), case_id="A-1")

    assert "A-1: CANCELLED" in run("cancel", tmp_path / "s.duckdb", "A-1", "--reason", "no more")
    result = CliRunner().invoke(app, ["discard", str(tmp_path / "s.duckdb"), "A-1", "--reason", "x"])
    assert "only a dead letter can be discarded" in str(result.exception)


def test_alerts_of_a_store_are_shown_and_those_that_fire_give_code_1(tmp_path):
    alert = ok.Alert("high_failure_rate", "failure_rate > 10%")
    workflow = ok.workflow("order", [ok.task("ship")], alerts=[alert])
    with ok.Engine(tmp_path / "s.duckdb", handlers={"ship": lambda ok: 1 / ok}) as engine:
        engine.run(workflow, {"ok": 1}, case_id="A-1")
    assert run("alerts", tmp_path / "s.duckdb", "--json").strip() == ""
    with ok.Engine(tmp_path / "s.duckdb", handlers={"ship": lambda ok: 1 / ok}) as engine:
        engine.run(workflow, {"ok": 0}, case_id="A-2")
    (row,) = map(json.loads, run("alerts", tmp_path / "s.duckdb", "--firing", "--json", code=1).splitlines())
    assert (row["alert"], row["resolved"], row["worst"]) == ("high_failure_rate", None, 0.5)
