"""What a case did and when, one row per step."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pandas as pd
import pytest

import orchkit as ok
from orchkit.errors import LogError

SVG = "{http://www.w3.org/2000/svg}"
DAY = pd.Timestamp("2024-05-06T09:00Z")


def at(minutes):
    return DAY + pd.Timedelta(minutes=minutes)


def texts(picture) -> list[str]:
    return [text.text for text in ET.fromstring(picture.to_svg()).iter(f"{SVG}text")]


def log_of(**columns) -> ok.EventLog:
    steps = {
        "case_id": ["1"] * 5,
        "activity": ["pay", "ship", "ship", "answer", "refund"],
        "enabled": [at(0), at(10), at(20), at(30), at(50)],
        "started": [at(5), at(10), at(25), at(30), at(50)],
        "completed": [at(10), at(20), at(30), at(50), at(60)],
        "status": ["COMPLETED", "FAILED", "COMPLETED", "COMPLETED", "COMPLETED"],
        "attempt": [1, 1, 2, 1, 1],
        "error_type": [None, "HTTP 503", None, None, None],
        "error_message": [None, "The warehouse is down", None, None, None],
        "compensates": [None, None, None, None, "pay"],
    }
    return ok.EventLog(pd.DataFrame(steps | columns))


def rows(picture) -> dict[str, ET.Element]:
    return {
        row.get("data-node"): row for row in ET.fromstring(picture.to_svg()).iter(f"{SVG}g") if row.get("data-node")
    }


def bars(row) -> list[tuple[str, float, float]]:
    found = [(bar.get("class"), bar.get("x"), bar.get("width")) for bar in row.iter(f"{SVG}rect")]
    return [(paint.partition("s-")[2], float(x), float(width)) for paint, x, width in found]


def test_a_bar_an_attempt_in_the_row_of_its_step():
    drawn = rows(ok.charts.gantt(log_of()))

    assert list(drawn) == ["pay", "ship", "answer", "refund"]
    (failed, x, width), (done, later, short) = bars(drawn["ship"])
    assert (failed, done) == ("failed", "done")
    assert width == pytest.approx(2 * short, abs=0.1)
    assert later == pytest.approx(x + 1.5 * width, abs=0.1)


def test_waiting_is_a_dashed_line_before_the_start_and_between_attempts():
    drawn = rows(ok.charts.gantt(log_of()))

    dashed = {
        name: sum(path.get("stroke-dasharray") is not None for path in row.iter(f"{SVG}path"))
        for name, row in drawn.items()
    }
    assert dashed == {"pay": 1, "ship": 1, "answer": 0, "refund": 0}


def test_a_step_that_undoes_another_has_a_sign_and_a_paint_of_its_own():
    picture = ok.charts.gantt(log_of())

    assert bars(rows(picture)["refund"])[0][0] == "undone"
    assert "refund, undoes pay, after 50m: 10m, ✓ completed" in str(picture)
    assert "undid a step" in texts(picture)


def test_pointing_at_a_step_tells_what_went_wrong():
    tip = rows(ok.charts.gantt(log_of()))["ship"].findtext(f"{SVG}title")

    assert "attempt 1, 10m, ✗ failed (HTTP 503); attempt 2, 5m, ✓ completed" in tip
    assert "1: The warehouse is down" in tip


def test_steps_of_one_activity_are_told_apart_by_their_attempts():
    statuses = ["COMPLETED", "FAILED", "COMPLETED", "FAILED", "COMPLETED"]
    names = ["pay", "ship", "ship", "ship", "ship"]
    log = log_of(activity=names, attempt=[1, 1, 2, 1, 2], status=statuses, compensates=None)

    lines = str(ok.charts.gantt(log)).splitlines()

    assert [line.partition(",")[0] for line in lines[1:]] == ["pay", "ship", "ship"]


def test_an_open_step_lasts_until_the_end():
    ends = [at(10), at(20), at(30), pd.NaT, at(60)]
    log = log_of(completed=ends, status=["COMPLETED", "FAILED", "COMPLETED", "WAITING", "COMPLETED"])

    ((paint, x, width),) = bars(rows(ok.charts.gantt(log))["answer"])

    assert paint == "held"
    ((_, last_x, last_width),) = bars(rows(ok.charts.gantt(log))["refund"])
    assert x + width == pytest.approx(last_x + last_width, abs=0.1)


def test_times_without_starts_are_signs():
    log = log_of(started=pd.NaT, enabled=pd.NaT)

    assert all(width == 2.5 for row in rows(ok.charts.gantt(log)).values() for _, _, width in bars(row))


def test_a_case_at_a_single_moment_is_drawn():
    log = ok.EventLog(pd.DataFrame({"case_id": ["1"], "activity": ["a"], "completed": [DAY]}))

    assert ok.charts.gantt(log).label == "Case 1: 1 step in 0s, from 2024-05-06 09:00:00 UTC"


def test_a_run_shows_its_steps_and_marks_its_waits():
    workflow = ok.workflow("w", [ok.task("pay"), ok.wait_for(timer="10ms", name="pause")])
    with ok.Engine(handlers={"pay": lambda: 1}) as engine:
        run = engine.run(workflow, case_id="A-1")
        picture = ok.charts.gantt(run)

    assert list(rows(picture)) == ["pay", "pause"]
    assert bars(rows(picture)["pause"])[0][0] == "held"
    assert picture.label.startswith("Case A-1: 2 steps in ")


def test_the_first_replication_of_a_simulated_case_is_drawn():
    log = log_of(replication=[0, 0, 0, 1, 1], compensates=None)

    assert list(rows(ok.charts.gantt(log, "1"))) == ["pay", "ship"]


def test_the_rows_are_as_many_as_wanted():
    picture = ok.charts.gantt(log_of(), max_rows=2)

    assert list(rows(picture)) == ["pay", "ship"]
    assert picture.label.endswith("; the first 2 are drawn")


def test_a_case_must_be_named_and_known():
    log = log_of(case_id=["A-1", "A-1", "A-2", "A-2", "A-2"])

    with pytest.raises(LogError, match="the log has 2 cases. Say which one"):
        ok.charts.gantt(log)
    with pytest.raises(LogError, match=r"the log has 0 cases\.$"):
        ok.charts.gantt(ok.only(log, activity=[]))
    with pytest.raises(LogError, match="the log has no case 'A-3'. Did you mean 'A-"):
        ok.charts.gantt(log, "A-3")
