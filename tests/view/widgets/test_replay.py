"""Replay: each case is one token that is at one place at a time; a run's steps come along its flows."""

from __future__ import annotations

import json
from itertools import pairwise

import pandas as pd
import pytest

import orchkit as ok
from orchkit.errors import RenderError

DAY = pd.Timestamp("2024-05-06T08:00Z")


def log_of(ways: dict[str, list[str]], *, failed: str = "") -> ok.EventLog:
    return ok.EventLog(
        pd.DataFrame(
            {
                "case_id": case,
                "activity": name,
                "started": DAY + pd.Timedelta(days=day, hours=2 * place),
                "completed": DAY + pd.Timedelta(days=day, hours=2 * place + 1),
                "status": "FAILED" if name == failed else "COMPLETED",
            }
            for day, (case, names) in enumerate(ways.items())
            for place, name in enumerate(names)
        )
    )


def test_a_case_goes_in_through_its_steps_and_out_along_the_lines():
    state = ok.Replay(log_of({"o1": ["check", "ship"]}, failed="ship")).state
    (legs,) = state["tokens"]
    # Stops: the start, check, ship, the end; nothing of it but the last way comes after a failure.
    assert [leg[2:4] for leg in legs] == [(0, 1), (1, 1), (1, 2), (2, 2), (2, 3)]
    assert [leg[5] for leg in legs] == [0, 0, 0, 1, 1]
    assert [leg[4] >= 0 for leg in legs] == [True, False, True, False, True]
    times = [time for leg in legs for time in leg[:2]]
    assert times == sorted(times)
    assert (times[0], times[-1]) == (0, state["length"])
    assert state["clock"][1][1] == DAY.timestamp()


def test_steps_beside_one_another_leave_the_token_at_one_place():
    rows = [("a", 0, 10), ("b", 2, 6), ("c", 1, 7)]
    steps = [
        {
            "case_id": "o",
            "activity": name,
            "started": DAY + pd.Timedelta(hours=a),
            "completed": DAY + pd.Timedelta(hours=b),
        }
        for name, a, b in rows
    ]
    (legs,) = ok.Replay(ok.EventLog(pd.DataFrame(steps))).state["tokens"]
    assert all(after[0] == before[1] for before, after in pairwise(legs))


def test_more_cases_than_the_bound_are_picked_evenly_and_the_view_says_so():
    log = log_of({f"o{number}": ["check"] for number in range(100)})
    state = ok.Replay(log, max_cases=10).state
    assert len(state["tokens"]) == 10
    assert state["note"] == "10 cases of 100, picked evenly by their start"
    assert state["tokens"][-1][-1][1] == state["length"]


def test_a_run_moves_along_its_flows_through_the_gateways():
    flow = ok.workflow("order", [ok.task("check"), ok.parallel([ok.task("crm")], [ok.task("mail")]), ok.task("ship")])
    names = ("check", "crm", "mail", "ship")
    with ok.Engine(handlers={name: lambda: True for name in names}) as engine:
        state = ok.Replay(engine.run(flow, case_id="\u202eA-1")).state
    assert state["note"] == "4 attempts of case \N{REPLACEMENT CHARACTER}A-1"
    assert len(state["tokens"]) == 5  # the last one leaves
    # From the start over one line; to both branches over two, through the gateway; and so out of them.
    assert [sum(leg[4] >= 0 for leg in legs) for legs in state["tokens"]] == [1, 2, 2, 2, 1]
    for legs in state["tokens"]:
        times = [time for leg in legs for time in leg[:2]]
        assert times == sorted(times)
    moments = [time for time, _ in state["clock"]]
    assert moments == sorted(moments)


def test_a_failed_attempt_is_marked_and_the_next_one_comes_from_nowhere():
    flow = ok.workflow("order", [ok.task("ship", retry={"max_attempts": 2, "initial_delay": "0s"})])
    tries = iter([TimeoutError("slow"), None])

    def ship() -> bool:
        if (error := next(tries)) is not None:
            raise error
        return True

    with ok.Engine(handlers={"ship": ship}) as engine:
        state = ok.Replay(engine.run(flow)).state
    assert [[leg[5] for leg in legs] for legs in state["tokens"]] == [[0, 1], [0], [0]]


def test_a_run_without_steps_and_a_log_without_cases_are_drawn():
    empty = ok.Replay(ok.EventLog(pd.DataFrame({"case_id": [], "activity": [], "completed": []})))
    assert empty.state["tokens"] == []
    assert "<svg" in empty.to_svg()
    with pytest.raises(RenderError, match="takes an event log or a run, not 'Workflow'"):
        ok.Replay(ok.workflow("w", [ok.task("a")]))


def test_hostile_names_do_not_leave_the_drawing():
    name = "</script><img src=x onerror=alert(1)>" + "x" * 10_000
    replay = ok.Replay(log_of({name: [name, "\u202eship"]}))
    words = json.dumps({**replay.state, "svg": ""})
    assert "script" not in words
    assert "<img" not in replay.state["svg"]
    assert "\u202e" not in replay.state["svg"]
