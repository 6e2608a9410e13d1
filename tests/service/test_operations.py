"""What operators do over HTTP: work items, dead letters, callbacks, events, schedules, alerts, versions."""

from __future__ import annotations

import json
from urllib.parse import quote

import orchkit as ok
from tests.service.conftest import problem


def started(operate, workflow, case, **inputs):
    return operate.post("/v1/runs", json={"workflow": workflow, "case_id": case, "inputs": inputs}).json()["run_id"]


def ended(served, operate, run_id):
    served.engine.wait(run_id, "30 s")
    return operate.get(f"/v1/runs/{run_id}").json()


def test_a_callback_completes_or_fails_a_run_once(served, operate):
    good, bad = started(operate, "parcel", "B-1"), started(operate, "parcel", "B-2")

    payload = {"callback": "carrier", "payload": {"signed_by": "Ada"}}
    done = operate.post(f"/v1/runs/{good}/callbacks/complete", json=payload)
    lost = operate.post(f"/v1/runs/{bad}/callbacks/fail", json={"callback": "carrier", "message": "lost"})

    assert (done.status_code, lost.status_code) == (204, 204)
    assert ended(served, operate, good)["variables"]["carrier"] == {"signed_by": "Ada"}
    assert ended(served, operate, bad)["error"]["message"] == "lost"
    problem(operate.post(f"/v1/runs/{good}/callbacks/complete", json=payload), 409, "run-has-ended")
    problem(operate.post("/v1/runs/0123456789abcdef/callbacks/complete", json=payload), 404, "run-not-found")


def test_a_callback_that_a_workflow_does_not_have_is_a_problem_with_a_hint(operate):
    run_id = started(operate, "parcel", "B-3")

    found = problem(
        operate.post(f"/v1/runs/{run_id}/callbacks/complete", json={"callback": "carier"}), 404, "callback-not-found"
    )

    assert "Did you mean 'carrier'?" in found["detail"]


def test_an_event_of_one_message_id_counts_once(served, operate):
    run_id = started(operate, "payment", "E-1", order="E-1")
    event = {"event": "paid", "payload": {"order": "E-1"}, "message_id": "m-1"}

    taken = [operate.post("/v1/events", json=event).json()["taken"] for _ in range(2)]

    assert taken == [1, 0]
    assert ended(served, operate, run_id)["status"] == "COMPLETED"


def test_a_run_belongs_to_the_trace_of_who_asked(operate):
    trace = "0af7651916cd43dd8448eb211c80319c"
    told = operate.post(
        "/v1/runs",
        json={"workflow": "parcel", "case_id": "trace"},
        headers={"traceparent": f"00-{trace}-b7ad6b7169203331-01"},
    )

    rows = operate.get(f"{told.headers['location']}/history").json()["rows"]

    assert {row["trace_id"] for row in rows} == {trace}


def test_of_two_who_claim_an_item_one_wins_and_the_form_is_checked(served, operate):
    run_id = started(operate, "claim", "W-1", amount=70)
    (item,) = [one for one in operate.get("/v1/work-items").json()["items"] if one["run_id"] == run_id]
    path = f"/v1/work-items/{quote(item['item_id'])}"

    claimed = [operate.post(f"{path}/claim", json={"by": by}).status_code for by in ("Ada", "Ada", "Bob")]
    refused = operate.post(f"{path}/complete", json={"data": {"approved": "yes"}, "by": "Ada"})
    done = operate.post(f"{path}/complete", json={"data": {"approved": True}, "by": "Ada"})

    assert (item["title"], item["role"], item["claimed_by"]) == ("Approve 70 euros", "manager", None)
    assert (claimed, done.status_code) == ([204, 204, 409], 204)
    problem(refused, 409, "inputs-refused")
    problem(operate.post(f"{path}/complete", json={"data": {"approved": True}}), 404, "work-item-not-found")
    assert ended(served, operate, run_id)["variables"]["approve"] == {"approved": True}
    assert operate.get(f"/v1/runs/{run_id}/steps").json()["steps"][0]["resource"] == "Ada"


def test_an_item_is_released_and_rejected_and_listed_by_who_has_it(served, operate):
    run_id = started(operate, "claim", "W-2", amount=7)
    path = f"/v1/work-items/{run_id}/approve%231"

    operate.post(f"{path}/claim", json={})
    mine = operate.get("/v1/work-items", params={"by": "operate", "role": "manager"}).json()
    operate.post(f"{path}/release", json={})
    free = operate.get("/v1/work-items", params={"by": "operate"}).json()
    operate.post(f"{path}/reject", json={"reason": "not mine", "by": "Bob"})

    assert [item["case_id"] for item in mine["items"]] == ["W-2"]  # the token's name stands for who is not named
    assert free == {"items": [], "total": 0}
    told = ended(served, operate, run_id)["error"]
    assert (told["type"], told["message"]) == ("Rejected", "not mine")


def test_dead_letters_are_listed_mended_and_discarded(served, operate):
    runs = []
    for number in range(4):  # one after the other: the letters stand in the order in which they came
        runs.append(started(operate, "order", f"L-{number}", address="?"))
        served.engine.wait(runs[-1], "30 s")

    listed = operate.get("/v1/dead-letters").json()
    one = operate.post(f"/v1/dead-letters/{runs[0]}/retry", json={"variables": {"address": "Rome"}, "by": "Ada"})
    many = operate.post("/v1/dead-letters/retry", json={"run_ids": runs[1:2] + runs[:1], "variables": {"address": "X"}})
    gone = operate.post(f"/v1/dead-letters/{runs[2]}/discard", json={"reason": "withdrawn", "by": "Ada"})
    rest = operate.post("/v1/dead-letters/discard", json={"run_ids": runs[2:], "reason": "withdrawn"})

    letters = [letter for letter in listed["letters"] if letter["run_id"] in runs]
    assert [(letter["case_id"], letter["node"], letter["inputs"]) for letter in letters] == [
        (f"L-{number}", "ship", {"address": "?"}) for number in range(4)
    ]
    assert (one.status_code, ended(served, operate, runs[0])["variables"]["ship"]) == (202, "sent to Rome")
    assert [decision["accepted"] for decision in many.json()["decisions"]] == [True, False]
    assert (gone.json()["status"], [decision["accepted"] for decision in rest.json()["decisions"]]) == (
        "FAILED",
        [False, True],
    )
    problem(operate.post(f"/v1/dead-letters/{runs[2]}/discard", json={"reason": "again"}), 409, "conflict")
    history = operate.get(f"/v1/runs/{runs[2]}/history").json()["rows"]
    assert [(row["resource"], row["payload"]) for row in history if row["kind"] == "decision"] == [
        ("Ada", {"reason": "withdrawn"})
    ]


def test_a_schedule_is_put_paused_resumed_triggered_and_deleted(operate):
    path = "/v1/schedules/nightly"
    put = operate.put(path, json={"workflow": "parcel", "cron": "30 2 * * MON-FRI", "time_zone": "Europe/Rome"})
    paused = operate.post(f"{path}/pause").json()
    resumed = operate.post(f"{path}/resume").json()
    operate.post(f"{path}/trigger")
    (listed,) = operate.get("/v1/schedules").json()["schedules"]
    deleted = operate.delete(path)

    assert (put.status_code, put.json()["when"]) == (200, "30 2 * * MON-FRI (Europe/Rome)")
    assert (paused["paused"], paused["next"], resumed["paused"]) == (True, None, False)
    assert (listed["running"], deleted.status_code) == (1, 204)
    assert operate.get("/v1/schedules").json() == {"schedules": []}
    problem(operate.post(f"{path}/pause"), 404, "schedule-not-found")
    problem(operate.put(path, json={"workflow": "parcel", "cron": "61 * * * *"}), 409, "workflow-refused")
    problem(operate.put(path, json={"workflow": "parcel", "every": "0 s"}), 409, "workflow-refused")


def test_a_version_is_deployed_beside_the_old_one(operate, admin):
    first = started(operate, "parcel", "V-1")
    text = "workflow: parcel\nversion: '2'\nsteps:\n- wait_for: {callback: carrier}\n- wait_for: {callback: receipt}\n"

    told = admin.put("/v1/workflows", content=text, headers={"Content-Type": "application/yaml"})
    second = started(operate, "parcel", "V-2")
    versions = admin.get("/v1/workflows/parcel/versions").json()["versions"]
    names = [one["name"] for one in admin.get("/v1/workflows").json()["workflows"]]

    assert (told.status_code, told.json()["version"]) == (200, "2")
    assert [(one["version"], one["current"]) for one in versions] == [("2", True), ("1", False)]
    assert [operate.get(f"/v1/runs/{run_id}").json()["version"] for run_id in (first, second)] == ["1", "2"]
    assert ok.Workflow.from_json(json.dumps(told.json()["definition"])).digest == told.json()["digest"]
    assert names == ["claim", "order", "parcel", "payment"]


def test_figures_and_failures_are_told(served, operate):
    run_id = started(operate, "order", "F-1", address="?")
    served.engine.wait(run_id, "30 s")

    metrics = operate.get("/v1/metrics", params={"workflow": "order"}).json()["metrics"]
    failures = operate.get("/v1/failures", params={"workflow": "order"}).json()["failures"]
    none = operate.get("/v1/metrics", params={"workflow": "order", "since": "2999-01-01T00:00:00Z"}).json()

    assert {row["workflow"] for row in metrics} == {"order"}
    assert (failures[0]["activity"], failures[0]["example"]) == ("ship", "the carrier does not answer")
    assert [row["value"] for row in none["metrics"] if row["metric"] == "cases"] == [0]


def test_an_alert_fires_and_is_silenced(served, operate):
    alert = ok.Alert("high_failure_rate", "failure_rate > 10%", window="15m", severity="warning")
    served.engine.deploy(ok.workflow("risky", [ok.task("ship")], alerts=[alert]))
    served.engine.wait(started(operate, "risky", "1", address="secret"), "30 s")

    (fires,) = operate.post("/v1/alerts/check").json()["alerts"]
    silence = {"alert": "risky/*", "duration": "2 h", "reason": "we know", "by": "Ada"}
    silenced = operate.post("/v1/alerts/silence", json=silence)
    (after,) = operate.get("/v1/alerts").json()["alerts"]

    assert (fires["alert"], fires["state"], fires["silenced_until"]) == ("high_failure_rate", "firing", None)
    assert silenced.status_code == 204
    assert after["silenced_until"] > fires["since"]


def test_the_service_is_alive_and_ready_for_anybody(served):
    with served.client() as anybody:
        told = [anybody.get(f"/health/{name}") for name in ("live", "ready")]

    assert [(one.status_code, one.json()) for one in told] == [(200, {"status": "ok"})] * 2
