"""Who is at work and who waits, literally."""

from __future__ import annotations

import json

import pandas as pd
import pytest

import orchkit as ok
from orchkit.errors import LogError

DAY = "2024-05-06"


def log_of(rows):
    names = ["case_id", "role", "resource", "enabled", "started", "completed"]
    table = pd.DataFrame(rows, columns=names).assign(activity="check")
    for name in names[3:]:
        table[name] = pd.to_datetime([None if at is None else f"{DAY}T{at}Z" for at in table[name]], utc=True)
    return ok.EventLog(table)


LOG = log_of(
    [
        ("1", "clerk", "Ann", "09:00", "09:00", "10:00"),
        ("2", "clerk", "Bob", "09:00", "09:30", "10:00"),
        ("3", "packer", "Cem", "09:00", "09:45", "11:00"),
    ]
)


def values(chart, panel=0):
    spec = chart.to_dict()
    found = (spec.get("vconcat") or [spec])[panel]
    name = (found["layer"][-1].get("data") or found["data"])["name"]
    return [row["mean"] for row in spec["datasets"][name]]


def test_the_share_at_work_is_counted_by_bucket():
    chart = ok.charts.utilization(LOG, every="30 min")

    assert values(chart, 0) == [0.5, 1.0, 0.0, 0.0]
    assert values(chart, 1) == [0.0, 0.5, 1.0, 1.0]
    assert chart.text == "clerk: 38% on average, 100% at most\npacker: 62% on average, 100% at most"


def test_what_lies_off_duty_is_not_work():
    noon = ok.Calendar({"mon": "09:00-09:45"})

    assert values(ok.charts.utilization(LOG, every="30 min", calendar={"clerk": noon}), 0) == [0.5, 0.5, 0.0, 0.0]
    assert values(ok.charts.utilization(LOG, every="30 min", calendar=noon), 1) == [0.0, 0.0, 0.0, 0.0]


def test_queues_are_counted_by_bucket():
    chart = ok.charts.queues(LOG, every="15 min")

    assert values(chart, 0) == [1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0]
    assert values(chart, 1) == [1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]
    assert chart.label == "Queue lengths over time, by 15 min"


def test_replications_are_a_mean_and_a_band():
    order = ok.workflow("order", [ok.task("check", role="clerk")])
    today = ok.Scenario(ok.exponential("10 min"), {"check": ok.exponential("8 min")}, {"clerk": 1})
    log = ok.simulate(order, today, cases=50, replications=4, seed=1, progress=False)

    chart = ok.charts.utilization(log)

    assert "mean of 4 replications" in chart.to_dict()["title"]["subtitle"]
    assert len(chart.to_dict()["layer"]) == 3
    assert chart.to_svg().startswith("<svg")


def test_many_roles_are_cut_and_that_is_said():
    rows = [(str(number), f"<role {number}>", "Ann", "09:00", "09:10", "10:00") for number in range(11)]
    chart = ok.charts.queues(log_of(rows))

    assert len(chart.to_dict()["vconcat"]) == 8
    assert "the 8 most loaded of 11 roles" in chart.to_dict()["title"]["subtitle"]
    assert "<role" not in chart.to_svg()


def test_a_log_that_cannot_tell_says_so():
    nobody = ok.EventLog(pd.DataFrame({"case_id": ["1"], "activity": "a", "completed": [f"{DAY}T09:00Z"]}))

    assert "no step of the log has a resource, a start and an end" in str(ok.charts.utilization(nobody))
    assert "nothing is known to wait" in str(ok.charts.queues(nobody))
    with pytest.raises(LogError, match="every must be above 0"):
        ok.charts.queues(LOG, every=0)


def test_the_specification_is_plain_json():
    assert json.loads(ok.charts.queues(LOG).vega_lite)["config"]["font"].startswith("Arial")
