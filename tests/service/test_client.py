"""`ok.connect`: another notebook has an engine's verbs on the same store, and gets what the engine gives."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import traceback
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

import orchkit as ok
from orchkit.service.client import Client
from orchkit.service.connection import Connection
from tests.service.conftest import PARCEL, Served

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def api():
    found = Served()
    yield found
    found.close()


@pytest.fixture(scope="module")
def engine(api):
    return api.engine


@pytest.fixture(scope="module")
def client(api):
    with ok.connect(api.service.url, api.tokens["admin"]) as found:
        yield found


@pytest.fixture(scope="module")
def busy(client):
    """A store with something of each kind."""
    client.run("order", {"address": "Oslo"}, case_id="A-1")
    client.run("order", {"address": "?"}, case_id="A-2")
    client.start("claim", {"amount": 70}, case_id="C-1")
    client.start("parcel", case_id="P-1")
    client.schedule(
        "parcel", "nightly", cron="30 2 * * MON-FRI", time_zone="Europe/Rome", overlap="queue", jitter="90s"
    )
    return client


def test_what_it_reads_is_what_the_engine_reads(busy, engine):
    run = engine.find("order", "A-2")
    for name, asked in {
        "runs": lambda it: it.runs(),
        "history": lambda it: it.get(run.id).history(),
        "steps": lambda it: it.get(run.id).steps(),
        "log steps": lambda it: it.log().steps,
        "log cases": lambda it: it.log("order").cases,
        "log since": lambda it: it.log(since=datetime(2100, 1, 1, tzinfo=UTC)).cases,
        "metrics": lambda it: ok.metrics(it.log("order")),
        "failures": lambda it: ok.failures(it.log()),
        "dead letters": lambda it: it.dead_letters(failed=True),
        "work items": lambda it: it.work_items("manager"),
        "schedules": lambda it: it.schedules(),
        "sql": lambda it: it.sql(
            "SELECT seq, run_id, occurred_at, payload, duration_s FROM history WHERE seq < ?", [30]
        ),
        "types": lambda it: it.sql("SELECT 7 AS a, 7.5 AS b, true AS c, DATE '2027-01-31' AS d, NULL::VARCHAR AS e"),
        "list": lambda it: it.sql(
            "SELECT count(*) AS n FROM runs WHERE list_contains(?::VARCHAR[], case_id)", [["A-1"]]
        ),
    }.items():
        # An engine's column of due times is in seconds where none has one.
        assert_frame_equal(asked(busy), asked(engine), check_dtype=name != "work items", obj=name)
    assert busy.current("order") == engine.current("order")


def test_a_run_is_what_the_engines_is(busy, engine):
    for case, name in (("A-1", "order"), ("A-2", "order"), ("P-1", "parcel")):
        far, near = busy.find(name, case), engine.find(name, case)
        assert (far.id, far.case_id, far.workflow, far.status) == (near.id, near.case_id, near.workflow, near.status)
        assert (dict(far.variables), far.error) == (dict(near.variables), near.error)
        assert far.started_at == near.started_at
        assert (dict(far.node_statuses), far.at(10_000).status) == (dict(near.node_statuses), near.at(10_000).status)
    with pytest.raises(ok.RunFailed, match="the carrier does not answer"):
        busy.find("order", "A-2").raise_for_status()


def test_it_acts_as_the_engine_does(busy, engine):
    parcel = busy.start("parcel", case_id="P-2")
    assert (parcel.status.value, parcel.id) == ("WAITING", engine.find("parcel", "P-2").id)
    parcel.complete("carrier", {"signed_by": "Ada"})
    assert parcel.wait("30 s").variables["carrier"] == {"signed_by": "Ada"}

    lost = busy.start("parcel", case_id="P-3")
    lost.fail("carrier", "The parcel is lost.")
    assert lost.wait("30 s").error.message == "The parcel is lost."

    given_up = busy.start("parcel", case_id="P-4")
    given_up.cancel("The customer has withdrawn.")
    assert given_up.wait("30 s").status == "CANCELLED"

    order = busy.start("payment", {"order": "O-1"}, case_id="O-1")
    assert busy.publish("paid", {"order": "O-1"}, message_id="m1") == 1
    assert busy.publish("paid", {"order": "O-1"}, message_id="m1") == 0
    assert order.wait("30 s").status == "COMPLETED"

    claim = busy.start("claim", {"amount": 7}, case_id="C-2")
    item = f"{claim.id}/approve#1"
    with pytest.raises(ok.WorkItemTaken, match="manager"):
        busy.claim(item, by="Bob", roles=["clerk"])
    busy.claim(item, by="Ada", roles=["manager"])
    with pytest.raises(ok.WorkItemTaken):
        busy.claim(item, by="Bob")
    with pytest.raises(ok.InputError):
        busy.complete_item(item, {"approved": "perhaps"}, by="Ada")
    busy.complete_item(item, {"approved": True}, by="Ada")
    assert claim.wait("30 s").steps()["resource"].item() == "Ada"

    for case in ("L-1", "L-2", "L-3"):
        busy.run("order", {"address": "?"}, case_id=case)
    again = busy.retry(busy.find("order", "L-1"), {"address": "Rome"}, by="Ada", reason="She has told us.")
    assert again.wait("30 s").variables["ship"] == "sent to Rome"
    busy.discard(busy.find("order", "L-2"), "The shop has closed.", by="Ada")
    letters = [busy.find("order", case).id for case in ("L-3", "L-1")]
    assert busy.discard_many(letters, "Closed.")["accepted"].tolist() == [True, False]


def test_schedules_and_alerts_go_through_it(busy, engine):
    until = "2031-01-01T00:00:00+00:00"
    busy.schedule(PARCEL, "often", every="36 h", first="2030-01-01T00:00:00+00:00", until=until)
    plan = engine._core.plans.plans["often"].schedule
    assert (plan.every, plan.first, plan.until) == (129_600.0, 1_893_456_000.0, 1_924_992_000.0)
    busy.pause_schedule("often")
    assert busy.schedules().set_index("schedule").loc["often", "paused"]
    busy.resume_schedule("often")
    busy.trigger("often")
    busy.unschedule("often")
    with pytest.raises(ok.ScheduleNotFound):
        busy.pause_schedule("often")
    assert busy.alerts(check=True).empty


def test_many_cases_are_run_and_told_in_their_order(busy):
    cases = pd.DataFrame({"case_id": ["M-1", "M-2", "M-3"], "address": ["Oslo", "?", "Rome"]})
    wrong = pd.DataFrame({"case_id": ["M-4"], "adress": ["Oslo"]})

    found = busy.run_many("order", cases, progress=False)

    assert found[["case_id", "status", "error_type"]].fillna("").to_numpy().tolist() == [
        ["M-1", "COMPLETED", ""],
        ["M-2", "DEAD_LETTERED", "TransientError"],
        ["M-3", "COMPLETED", ""],
    ]
    assert busy.run_many("order", wrong, progress=False)["status"].tolist() == ["REJECTED"]


def test_the_errors_are_the_engines(busy, api):
    for act, error, said in [
        (lambda: busy.get("0123456789abcdef"), ok.RunNotFound, "no run"),
        (lambda: busy.get("r1"), ok.RunNotFound, "no run 'r1'"),
        (lambda: busy.get("../../health"), ok.RunNotFound, "no run"),
        (lambda: busy.find("order", "never"), ok.RunNotFound, "no run"),
        (lambda: busy.start("never"), ok.WorkflowError, "no workflow 'never'"),
        (lambda: busy.start(ok.workflow("order", [ok.task("other")])), ok.WorkflowError, "runs another version"),
        (lambda: busy.start(7), ok.WorkflowError, "not int"),
        (lambda: busy.start("order", {"adress": "Oslo"}), ok.InputError, "address"),
        (lambda: busy.start("order", ["Oslo"]), ok.InputError, "not list"),
        (lambda: busy.complete(busy.find("parcel", "P-1"), "carier"), ok.WaitNotFound, "Did you mean 'carrier'"),
        (lambda: busy.complete(busy.find("order", "A-1"), "carrier"), ok.RunNotFound, "has ended"),
        (lambda: busy.retry(busy.find("order", "A-1")), ok.RunError, "COMPLETED|completed"),
        (lambda: busy.claim("0123456789abcdef/x#1", by="Ada"), ok.WorkItemNotFound, "work item"),
        (lambda: busy.sql("DROP TABLE history"), ok.QueryError, "only reads"),
        (lambda: busy.sql("SELECT nonsense"), ok.QueryError, "nonsense"),
        (lambda: busy.find("parcel", "P-1").wait("10 ms"), TimeoutError, "goes on"),
        (lambda: busy.in_flight(), AttributeError, "where the engine is"),
        (lambda: ok.connect(api.service.url, "ok_00000000_wrong"), ok.ServiceError, "token is not known"),
        (lambda: ok.connect(api.service.url, "schlüssel"), ok.ServiceError, "This is not a token"),
        (lambda: ok.connect("ftp://x", "t"), ok.ServiceError, "such as http://"),
        (lambda: ok.connect(f"{api.service.url}/elsewhere", "t"), ok.ServiceError, "nothing|token"),
    ]:
        with pytest.raises(error, match=said):
            act()
    with ok.connect(api.service.url, api.tokens["read"]) as reader:
        with pytest.raises(ok.ServiceError, match="needs the role operate") as caught:
            reader.start("order", {"address": "Oslo"})
        assert (caught.value.status, caught.value.kind) == (403, "role-missing")
    with pytest.raises(ok.EngineClosed, match="connect again"):
        reader.runs()


def test_the_token_is_shown_nowhere(api, monkeypatch):
    token = api.tokens["read"]
    monkeypatch.setenv("ORCHKIT_TOKEN", token)
    with ok.connect(api.service.url) as reader:
        shown = [repr(reader), str(reader), repr(vars(reader)), repr(vars(vars(reader)["_service"]))]
        try:
            reader.start("order")
        except ok.ServiceError:
            shown.append(traceback.format_exc())
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        try:
            ok.connect(f"http://127.0.0.1:{nobody.getsockname()[1]}")
        except ok.ServiceError as error:
            shown += [str(error), repr(error), traceback.format_exc()]
    assert len(shown) == 8
    assert "Is it running? orchkit serve" in shown[5]
    assert not [text for text in shown if token in text or token.rpartition("_")[2] in text]


class Broken:
    """A server that hangs up as soon as it has been asked."""

    def __init__(self):
        self.asked = []
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}"
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            with connection:
                self.asked.append(connection.recv(65_536).split(b" ")[:2])


def test_only_what_does_nothing_twice_is_asked_again():
    broken = Broken()
    with Client(Connection(broken.url, "token")) as client:
        for act, times in [
            (lambda: client.publish("paid"), 1),
            (lambda: client.complete("0123456789abcdef", "carrier"), 1),
            (lambda: client.publish("paid", message_id="m1"), 5),
        ]:
            broken.asked.clear()
            with pytest.raises(ok.ServiceError, match="does not answer"):
                act()
            assert len(broken.asked) == times
    broken.socket.close()


def test_the_widgets_take_a_client_for_an_engine(busy):
    waiting = busy.start("claim", {"amount": 8}, case_id="W-1")
    letter = busy.run("order", {"address": "?"}, case_id="W-2")
    monitor = ok.Monitor(busy, every="1 h")
    inbox = ok.Inbox(busy, by="Ada", every="1 h")
    letters = ok.DeadLetters(busy, by="Ada", every="1 h")
    view = ok.RunView(letter)
    try:
        monitor.act("open_run", run_id=waiting.id)
        assert (monitor.problem, monitor.state["run"]["status"]) == ("", monitor.state["run"]["status"])
        assert "W-1" in {row["case_id"] for row in monitor.state["runs"]}
        item = f"{waiting.id}/approve#1"
        inbox.act("complete", item=item, data={"approved": True})
        assert (inbox.problem, waiting.wait("30 s").status) == ("", "COMPLETED")
        letters.act("replay", runs=[letter.id], variables={"address": "Rome"})
        assert (letters.problem, letter.wait("30 s").variables["ship"]) == ("", "sent to Rome")
        assert all("<svg" in widget.to_svg() for widget in (monitor, inbox, letters, view))
        assert "<svg" in letter._repr_mimebundle_()["text/html"]
    finally:
        for widget in (monitor, inbox, letters, view):
            widget.close()


SECOND = """
import sys
import orchkit as ok
with ok.connect(sys.argv[1]) as client:
    runs = [client.start("order", {"address": "Oslo"}, case_id=f"S-{number}") for number in range(5)]
    print([run.wait("30 s").variables["ship"] for run in runs] == ["sent to Oslo"] * 5)
    client.complete(client.find("parcel", "P-1"), "carrier", {"signed_by": "Bob"})
    print(len(client.log("order").cases))
"""


def test_a_second_process_works_on_the_same_store_through_a_service(tmp_path):
    (tmp_path / "workflows").mkdir()
    handlers = 'def ship(address):\n    return f"sent to {address}"\n'
    (tmp_path / "workflows" / "handlers.py").write_text(handlers, encoding="utf-8")
    for name, steps in (("order", "[{task: ship}]"), ("parcel", "[{wait_for: {callback: carrier}}]")):
        text = f"workflow: {name}\nsteps: {steps}\n"
        (tmp_path / "workflows" / f"{name}.yaml").write_text(text, encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-m", "orchkit.cli", "serve", "a.duckdb", "workflows", "--port", "0"]
    with subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True) as child:
        try:
            said = []
            for line in child.stdout:
                said.append(line.strip())
                if line.startswith("Serving"):
                    break
            url, token = said[-1].rpartition(" ")[2], next(line for line in said if line.startswith("ok_"))
            with pytest.raises(ok.StoreLocked, match=r"ok\.connect\(url, token\)"):
                ok.Engine(tmp_path / "a.duckdb")
            with ok.connect(url, token) as client:
                parcel = client.start("parcel", case_id="P-1")
                second = subprocess.run(
                    [sys.executable, "-c", SECOND, url],
                    env={**environment, "ORCHKIT_TOKEN": token},
                    capture_output=True,
                    text=True,
                    timeout=120,
                    check=False,
                )
                assert (second.stdout.split(), second.stderr) == (["True", "5"], "")
                assert parcel.wait("30 s").variables["carrier"] == {"signed_by": "Bob"}
                assert set(client.runs()["case_id"]) == {"P-1", *(f"S-{number}" for number in range(5))}
        finally:
            child.terminate()
            child.wait(30)
