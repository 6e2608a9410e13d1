"""Commands about work items, schedules and dead messages, run as in a shell."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

import orchkit as ok
from orchkit.cli import app, main


@pytest.fixture
def store(tmp_path):
    return tmp_path / "state.duckdb"


def told(*words):
    """Return what a command prints; it must succeed."""
    ran = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
    assert ran.exit_code == 0, ran.output
    return ran.output


def rows(*words):
    return [json.loads(line) for line in told(*words, "--json").splitlines()]


def refused(capsys, monkeypatch, *words):
    """Return the exit code and the message of a command that is refused."""
    monkeypatch.setattr("sys.argv", ["orchkit", *map(str, words)])
    with pytest.raises(SystemExit) as ended:
        main()
    return ended.value.code, capsys.readouterr().err


def test_a_work_item_is_listed_claimed_and_completed(store, capsys, monkeypatch):
    form = {"type": "object", "properties": {"approved": {"type": "boolean"}}, "required": ["approved"]}
    approve = ok.task("approve", executor="human", role="manager", settings={"form": form})
    with ok.Engine(store) as engine:
        for case in ("A-1", "A-2"):
            engine.start(ok.workflow("claim", [approve]), case_id=case)
    first, second = rows("work-items", "list", store, "--role", "manager")

    assert (first["case_id"], first["form"]["required"]) == ("A-1", ["approved"])
    assert "A-2" in told("work-items", "list", store)
    assert rows("work-items", "list", store, "--role", "clerk") == []
    code, message = refused(
        capsys, monkeypatch, "work-items", "claim", store, first["item_id"], "--by", "Bob", "--role", "clerk"
    )
    assert (code, "is for the role 'manager'" in message) == (2, True)
    told("work-items", "claim", store, first["item_id"], "--by", "Ada", "--role", "manager")
    assert [item["claimed_by"] for item in rows("work-items", "list", store)] == ["Ada", None]
    told("work-items", "release", store, first["item_id"], "--by", "Ada")
    told("work-items", "complete", store, first["item_id"], "--by", "Bob", "--set", "approved=true")
    told("work-items", "reject", store, second["item_id"], "--by", "Ada", "--reason", "It is late.")
    assert rows("work-items", "list", store) == []
    assert {run["case_id"]: run["status"] for run in rows("runs", store)} == {"A-1": "COMPLETED", "A-2": "FAILED"}


def test_a_schedule_is_added_paused_resumed_triggered_and_deleted(store, tmp_path, capsys, monkeypatch):
    file = tmp_path / "report.yaml"
    file.write_text("workflow: report\nsteps: [{wait_for: {callback: sent}}]\n", encoding="utf-8")
    assert told("schedules", "add", store, file, "--name", "nightly", "--set", "cron=30 2 * * *").startswith(
        "nightly: "
    )
    told("schedules", "pause", store, "nightly")
    assert [(one["schedule"], one["paused"]) for one in rows("schedules", "list", store)] == [("nightly", True)]
    told("schedules", "resume", store, "nightly", "--by", "Ada")
    told("schedules", "trigger", store, "nightly")
    assert rows("schedules", "list", store)[0]["running"] == 1
    told("schedules", "delete", store, "nightly")

    assert rows("schedules", "list", store) == []
    assert refused(capsys, monkeypatch, "schedules", "pause", store, "nightly")[0] == 2


def test_a_dead_message_is_replayed_or_discarded(store):
    steps = [ok.task("ship", python={"arguments": {"id": "${event.id}"}})]
    order = ok.workflow("order", steps, triggers=[ok.Trigger("queue", {"subject": "placed", "case": "${event.id}"})])
    with ok.Engine(store, handlers={"ship": lambda id: id}) as engine:  # noqa: A006 -- the input's name
        engine.deploy(order)
        for name in ("m1", "m2"):
            engine.bury_message(name, "placed", "{", "It is not JSON.")
    assert [one["message_id"] for one in rows("messages", "list", store)] == ["m1", "m2"]
    told("messages", "discard", store, "m1", "--reason", "A test.")

    assert told("messages", "replay", store, "m2", "--payload", '{"id": "A-1"}') == "m2: 1 runs took it.\n"
    assert rows("messages", "list", store) == []
    assert [run["case_id"] for run in rows("runs", store)] == ["A-1"]
