from __future__ import annotations

import concurrent.futures

from tests.service.conftest import problem


def test_a_run_is_started_once_and_told(served, operate):
    order = {"workflow": "order", "case_id": "A-1", "inputs": {"address": "Oslo"}}

    first, again = operate.post("/v1/runs", json=order), operate.post("/v1/runs", json=order)
    run_id = first.json()["run_id"]
    served.engine.wait(run_id, "30 s")
    told = operate.get(first.headers["location"]).json()

    assert (first.status_code, again.status_code, again.json()["run_id"]) == (201, 200, run_id)
    assert (told["status"], told["variables"]["ship"], told["error"]) == ("COMPLETED", "sent to Oslo", None)


def test_of_many_who_start_a_case_at_once_all_get_the_same_run(served, operate):
    order = {"workflow": "payment", "case_id": "at once"}
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        told = list(pool.map(lambda _: operate.post("/v1/runs", json=order), range(24)))

    assert {one.status_code for one in told} <= {200, 201}
    assert len({one.json()["run_id"] for one in told}) == 1
    assert served.engine.sql("SELECT count(*) AS runs FROM runs WHERE case_id = 'at once'")["runs"].item() == 1


def test_runs_are_listed_a_page_at_a_time_newest_first(operate):
    for number in range(5):
        operate.post("/v1/runs", json={"workflow": "parcel", "case_id": f"P-{number}"})

    pages, cursor = [], {}
    while cursor is not None:
        page = operate.get("/v1/runs", params={"workflow": "parcel", "limit": 2, **cursor}).json()
        pages.append([run["case_id"] for run in page["runs"]])
        cursor = {"cursor": page["next"]} if page["next"] else None

    assert pages == [["P-4", "P-3"], ["P-2", "P-1"], ["P-0"]]


def test_runs_are_found_by_case_and_status(operate):
    operate.post("/v1/runs", json={"workflow": "parcel", "case_id": "S-1"})

    waiting = operate.get("/v1/runs", params={"case_id": "S-1", "status": ["WAITING", "RUNNING"]}).json()["runs"]
    ended = operate.get("/v1/runs", params={"case_id": "S-1", "status": "COMPLETED"}).json()["runs"]

    assert ([run["workflow"] for run in waiting], ended) == (["parcel"], [])


def test_a_run_is_cancelled_once(served, operate):
    run_id = operate.post("/v1/runs", json={"workflow": "parcel", "case_id": "C-1"}).json()["run_id"]

    told = operate.post(f"/v1/runs/{run_id}/cancel", json={"reason": "changed her mind"})
    served.engine.wait(run_id, "30 s")

    assert told.status_code == 202
    assert operate.get(f"/v1/runs/{run_id}").json()["error"]["message"] == "changed her mind"
    problem(operate.post(f"/v1/runs/{run_id}/cancel", json={}), 409, "run-has-ended")


def test_a_run_that_failed_goes_on_with_mended_variables(served, operate):
    order = {"workflow": "order", "case_id": "R-1", "inputs": {"address": "?"}}
    run_id = operate.post("/v1/runs", json=order).json()["run_id"]
    served.engine.wait(run_id, "30 s")

    told = operate.post(f"/v1/runs/{run_id}/retry", json={"variables": {"address": "Rome"}, "by": "Ada"})
    served.engine.wait(run_id, "30 s")
    history = operate.get(f"/v1/runs/{run_id}/history").json()["rows"]

    assert told.status_code == 202
    assert operate.get(f"/v1/runs/{run_id}").json()["variables"]["ship"] == "sent to Rome"
    assert [row["resource"] for row in history if row["kind"] == "decision"] == ["Ada"]
    assert [row["seq"] for row in history] == sorted(row["seq"] for row in history)


def test_steps_are_told_a_row_an_attempt(served, operate):
    order = {"workflow": "order", "case_id": "T-1", "inputs": {"address": "?"}}
    run_id = operate.post("/v1/runs", json=order).json()["run_id"]
    served.engine.wait(run_id, "30 s")

    steps = operate.get(f"/v1/runs/{run_id}/steps").json()["steps"]

    assert [(step["activity"], step["attempt"], step["status"]) for step in steps] == [
        ("ship", 1, "FAILED"),
        ("ship", 2, "FAILED"),
    ]


def test_what_is_not_there_is_a_problem(operate):
    problem(operate.get("/v1/runs/0123456789abcdef"), 404, "run-not-found")
    problem(operate.get("/v1/nothing"), 404, "not-found")
    problem(operate.delete("/v1/runs"), 405, "method-not-allowed")
    found = problem(operate.post("/v1/runs", json={"workflow": "ordr"}), 404, "workflow-not-found")
    assert "ordr" in found["detail"]


def test_inputs_that_do_not_fit_are_a_problem_that_says_so(operate):
    found = problem(
        operate.post("/v1/runs", json={"workflow": "order", "inputs": {"address": 7}}), 409, "inputs-refused"
    )

    assert found["detail"] == "Input address: 7 is not of type 'string'"


def test_a_query_parameter_that_there_is_not_is_refused_with_the_nearest(read):
    told = problem(read.get("/v1/runs", params={"statu": "FAILED"}), 422, "not-valid")

    assert told["detail"] == "There is no query parameter 'statu' here. Did you mean 'status'?"
