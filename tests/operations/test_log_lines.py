from __future__ import annotations

import json

import orchkit as ok


def lines_of(workflow, handlers):
    with ok.Engine(handlers=handlers) as engine:
        engine.run(workflow, case_id="A-1")
        return [json.loads(line) for line in ok.log_lines(engine)]


def test_a_line_has_the_five_fields_first_and_says_what_failed():
    def ship():
        raise ok.PermanentError("the truck is broken")

    read, failed = lines_of(ok.workflow("order", [ok.task("read"), ok.task("ship")]), {"read": dict, "ship": ship})

    assert list(failed)[:5] == ["workflow_id", "step", "status", "duration_ms", "timestamp"]
    assert (read["workflow_id"], read["step"], read["status"]) == ("order", "read", "COMPLETED")
    assert (failed["status"], failed["error_class"], failed["error_message"]) == (
        "FAILED",
        "permanent",
        "the truck is broken",
    )
    assert isinstance(failed["duration_ms"], int)
    assert failed["timestamp"].endswith("+00:00")


def test_lines_go_on_after_the_last_one():
    with ok.Engine(handlers={"ship": dict}) as engine:
        workflow = ok.workflow("order", [ok.task("ship")])
        engine.run(workflow, case_id="1")
        (first,) = ok.log_lines(engine)
        engine.run(workflow, case_id="2")
        (second,) = ok.log_lines(engine, after=json.loads(first)["seq"])

    assert json.loads(second)["case_id"] == "2"
