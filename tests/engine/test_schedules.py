from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

import orchkit as ok
from orchkit.model.schedule import moment_of
from orchkit.testing import VirtualClock

TICK = ok.workflow("tick", [ok.task("work")])
HANDLERS = {"work": lambda: "done"}


def to(clock, moment):
    clock.advance(moment_of(moment) - clock.now())


def run_until(engine, clock, end):
    """Let the time pass from one moment that is due to the next one."""
    while True:
        schedules = engine.schedules()
        due = schedules[~schedules["paused"]]["next"].min()
        if not due <= datetime.fromtimestamp(end, UTC):
            to(clock, end)
            return
        to(clock, due.timestamp())


def started(engine):
    found = engine.sql("SELECT case_id FROM runs ORDER BY seq")["case_id"]
    return [case.split("@") for case in found]


# By hand, minute by minute: what the wall clocks of a zone show is what cron looks at.
def wall_clock_days(zone, hour, minute, begin, end):
    """Return the moments of a daily time of the day, each day's first; in the hour left out, right after it."""
    found, day = [], begin.astimezone(zone).date() - timedelta(days=1)
    while day <= end.astimezone(zone).date():
        local = datetime(day.year, day.month, day.day, hour, minute, tzinfo=zone)
        moment = local.astimezone(UTC)
        if moment.astimezone(zone).replace(tzinfo=None) != local.replace(tzinfo=None):
            before = moment - timedelta(hours=2)
            while before.astimezone(zone).utcoffset() == (before + timedelta(minutes=1)).astimezone(zone).utcoffset():
                before += timedelta(minutes=1)
            moment = before + timedelta(minutes=1)
        if begin < moment <= end:
            found.append(moment)
        day += timedelta(days=1)
    return found


def test_over_a_year_with_downtime_exactly_the_due_runs_are_started(tmp_path):
    clock = VirtualClock("2027-01-01T00:00:00+00:00", skip=False)
    zones = {"Europe/Rome": (2, 30), "America/New_York": (1, 30), "Australia/Sydney": (2, 15)}
    begin, end = datetime(2027, 1, 1, tzinfo=UTC), datetime(2028, 1, 1, tzinfo=UTC)
    # Down over the clocks' change in Europe in spring, and in America in autumn.
    downs = [
        ("2027-03-27T12:00:00+00:00", "2027-03-30T12:00:00+00:00"),
        ("2027-11-05T00:00:00+00:00", "2027-11-09T06:00:00+00:00"),
    ]
    path = tmp_path / "s.duckdb"
    due = {zone: wall_clock_days(ZoneInfo(zone), *time, begin, end) for zone, time in zones.items()}

    with ok.Engine(path, HANDLERS, clock=clock) as engine:
        for number, (zone, (hour, minute)) in enumerate(zones.items()):
            policy = ["none", "last", "all"][number]
            engine.schedule(TICK, zone, cron=f"{minute} {hour} * * *", time_zone=zone, catch_up=policy, overlap="queue")
        run_until(engine, clock, moment_of(downs[0][0]))
    to(clock, downs[0][1])
    with ok.Engine(path, HANDLERS, clock=clock) as engine:
        run_until(engine, clock, moment_of(downs[1][0]))
    to(clock, downs[1][1])
    with ok.Engine(path, HANDLERS, clock=clock) as engine:
        run_until(engine, clock, end.timestamp())
        found = started(engine)

    expected = []
    for number, (zone, moments) in enumerate(due.items()):
        missed = [[m for m in moments if moment_of(a) < m.timestamp() <= moment_of(b)] for a, b in downs]
        kept = set(moments)
        for gap in missed:
            left = {0: [], 1: gap[-1:], 2: gap}[number]
            kept -= set(gap) - set(left)
        expected += [[zone, moment.isoformat()] for moment in sorted(kept)]
    assert {len(moments) for moments in due.values()} == {365}
    assert sorted(found) == sorted(expected)
    assert Counter(zone for zone, _ in found) == {"Europe/Rome": 357, "America/New_York": 360, "Australia/Sydney": 365}


@pytest.mark.parametrize(
    ("overlap", "cases", "statuses"),
    [
        ("skip", ["00:01", "00:05"], ["COMPLETED", "COMPLETED"]),
        ("queue", ["00:01", "00:02", "00:03", "00:04", "00:05"], ["COMPLETED"] * 5),
        ("allow", ["00:01", "00:02", "00:03", "00:04", "00:05"], ["COMPLETED"] * 5),
        ("cancel", ["00:01", "00:02", "00:03", "00:04", "00:05"], ["CANCELLED"] * 3 + ["COMPLETED"] * 2),
    ],
)
def test_what_happens_when_the_last_run_still_goes_on(overlap, cases, statuses, tmp_path):
    clock = VirtualClock("2027-01-01T00:00:00+00:00", skip=False)
    slow = ok.workflow("slow", [ok.wait_for(callback="done")])
    with ok.Engine(tmp_path / "s.duckdb", clock=clock) as engine:
        engine.schedule(slow, "s", every="1 min", overlap=overlap, until="2027-01-01T00:05:00+00:00")
        run_until(engine, clock, clock.now() + 150)
    with ok.Engine(tmp_path / "s.duckdb", clock=clock) as engine:
        run_until(engine, clock, clock.now() + 90)
        while not (open_ := engine.runs().query("status == 'RUNNING'")).empty:
            for run_id in open_["run_id"][::-1]:
                engine.complete(run_id, "done")
                engine.wait(run_id, "30 s")
        run_until(engine, clock, clock.now() + 60)
        while not (open_ := engine.runs().query("status == 'RUNNING'")).empty:
            engine.complete(open_["run_id"].iloc[-1], "done")
            engine.wait(open_["run_id"].iloc[-1], "30 s")
        runs = engine.runs().iloc[::-1]

    assert [case[13:18] for case in runs["case_id"]] == cases
    assert runs["status"].tolist() == statuses


def test_a_paused_schedule_starts_nothing_also_after_a_restart(tmp_path):
    clock = VirtualClock("2027-01-01T00:00:00+00:00", skip=False)
    with ok.Engine(tmp_path / "s.duckdb", HANDLERS, clock=clock) as engine:
        engine.schedule(TICK, every="1 h", catch_up="all", overlap="allow", by="Ada")
        run_until(engine, clock, clock.now() + 7200)
        engine.pause_schedule("tick", by="Ada")
        clock.advance("3 h")
    with ok.Engine(tmp_path / "s.duckdb", HANDLERS, clock=clock) as engine:
        assert engine.schedules()["paused"].tolist() == [True]
        engine.resume_schedule("tick", by="Bob")
        run_until(engine, clock, clock.now() + 3600)
        engine.trigger("tick", by="Bob")
        engine.unschedule("tick", by="Bob")
        clock.advance("9 h")
        cases = [moment[11:16] for _, moment in started(engine)]
        told = engine.sql(
            "SELECT status, resource FROM history WHERE kind = 'schedule' AND status <> 'STARTED' ORDER BY seq"
        )
        with pytest.raises(ok.ScheduleNotFound, match="There is no schedule 'tick'"):
            engine.trigger("tick")

    assert cases == ["01:00", "02:00", "06:00"]  # what is started by hand at a moment that was due is the same case
    assert told.query("status != 'STARTED'").values.tolist() == [
        ["CREATED", "Ada"],
        ["PAUSED", "Ada"],
        ["RESUMED", "Bob"],
        ["DELETED", "Bob"],
    ]


def test_a_deployed_workflow_is_scheduled_by_its_name():
    with ok.Engine(handlers=HANDLERS, clock=VirtualClock()) as engine:
        engine.deploy(TICK)
        engine.schedule("tick", "hourly", every="1 h")
        assert engine.schedules()[["schedule", "workflow"]].to_numpy().tolist() == [["hourly", "tick"]]
        with pytest.raises(ok.WorkflowError, match="tock"):
            engine.schedule("tock", every="1 h")


def test_a_jitter_puts_each_start_off_by_the_same_whoever_asks():
    schedule = ok.Schedule("s", every="1 h", first=0.0, jitter="10 min")

    late = [schedule.start_at(hour * 3600.0) - hour * 3600 for hour in range(500)]
    assert late == [
        ok.Schedule("s", every="1 h", jitter="10 min").start_at(hour * 3600.0) - hour * 3600 for hour in range(500)
    ]
    assert 0 <= min(late) < 20
    assert 580 < max(late) <= 600
    assert 280 < sum(late) / 500 < 320


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({}, "give one of cron and every"),
        ({"cron": "* * * *"}, "not a cron expression"),
        ({"cron": "61 * * * *"}, "not a cron expression"),
        ({"every": "0 s"}, "longer than nothing"),
        ({"cron": "0 0 * * *", "time_zone": "Europe/Roma"}, "no time zone 'Europe/Roma'"),
        ({"every": "1 h", "overlap": "skp"}, "Did you mean 'skip'"),
        ({"every": "1 h", "until": "2027-01-01"}, "with its offset"),
        ({"evry": "1 h"}, "Did you mean 'every'"),
    ],
)
def test_settings_that_make_no_sense_are_said(settings, text):
    with ok.Engine(handlers=HANDLERS) as engine, pytest.raises(ok.WorkflowError, match=text):
        engine.schedule(TICK, **settings)


VERSIONED = """
workflow: tick
version: '{}'
triggers:
  - schedule: {{every: {}, overlap: allow, inputs: {{at: '${{schedule.due}}'}}}}
steps: [{{task: work}}]
"""


def test_only_a_workflow_is_deployed_or_scheduled():
    with ok.Engine() as engine:
        for refused in (lambda: engine.deploy(7), lambda: engine.schedule(7, every="1 h")):
            with pytest.raises(ok.WorkflowError, match="A workflow is expected, not int"):
                refused()


def test_a_deployed_workflow_is_started_by_its_schedule_and_the_next_version_takes_its_place(tmp_path):
    clock = VirtualClock("2027-01-01T00:00:00+00:00", skip=False)
    one, two = ok.read_workflow(VERSIONED.format(1, "1h")), ok.read_workflow(VERSIONED.format(2, "2h"))
    with ok.Engine(tmp_path / "s.duckdb", HANDLERS, clock=clock) as engine:
        engine.deploy(one)
        engine.deploy(one)
        run_until(engine, clock, clock.now() + 3600)
        engine.deploy(two)
        assert engine.schedules()[["schedule", "version"]].values.tolist() == [["tick", "2"]]
    with ok.Engine(tmp_path / "s.duckdb", HANDLERS, clock=clock) as engine:
        assert engine.current("tick") == two
        run_until(engine, clock, clock.now() + 7200)
        runs = engine.runs().iloc[::-1]
        assert runs[["version", "case_id"]].values.tolist() == [
            ["1", "tick@2027-01-01T01:00:00+00:00"],
            ["2", "tick@2027-01-01T03:00:00+00:00"],
        ]
        assert engine.find("tick", "tick@2027-01-01T03:00:00+00:00").variables["at"] == "2027-01-01T03:00:00+00:00"
        engine.deploy(ok.workflow("tick", [ok.task("work")], version="3"))
        assert engine.schedules().empty


def test_events_start_runs_once_for_each_case_and_each_message(tmp_path):
    placed = ok.Trigger(
        "event",
        {"event": "placed", "match": "event.total > 10", "case": "${event.id}", "inputs": {"id": "${event.id}"}},
    )
    order = ok.workflow("order", [ok.task("work")], triggers=[placed])
    with ok.Engine(tmp_path / "s.duckdb", HANDLERS) as engine:
        engine.deploy(order)
        taken = [
            engine.publish("placed", {"id": "A-1", "total": 70}, message_id="m1"),
            engine.publish("placed", {"id": "A-1", "total": 70}, message_id="m1"),
            engine.publish("placed", {"id": "A-1", "total": 70}, message_id="m2"),
            engine.publish("placed", {"id": "A-2", "total": 7}),
            engine.publish("placed", {"of": "another shape"}),
            engine.publish("paid", {"id": "A-1"}),
        ]
    with ok.Engine(tmp_path / "s.duckdb", HANDLERS) as engine:
        taken += [engine.publish("placed", {"id": "A-9", "total": 70}, message_id="m2")]
        taken += [engine.publish("placed", {"id": "A-3", "total": 70}, message_id="m3")]
        assert sorted(engine.runs()["case_id"]) == ["A-1", "A-3"]

    assert taken == [1, 0, 0, 0, 0, 0, 0, 1]


def test_workflows_that_only_know_events_share_a_trace(tmp_path):
    def emit(event):
        return ok.task(f"tell_{event}", executor="event", settings={"event": event, "payload": {"id": "${id}"}})

    def on(event):
        return [ok.Trigger("event", {"event": event, "case": "${event.id}", "inputs": {"id": "${event.id}"}})]

    shop = ok.workflow("shop", [emit("placed"), ok.wait_for(event="shipped", match="event.id == id", name="arrival")])
    store = ok.workflow("store", [ok.task("work"), emit("packed")], triggers=on("placed"))
    carrier = ok.workflow("carrier", [emit("shipped")], triggers=on("packed"))
    with ok.Engine(tmp_path / "s.duckdb", HANDLERS) as engine:
        for workflow in (store, carrier):
            engine.deploy(workflow)
        run = engine.start(shop, {"id": "A-1"}, case_id="A-1").wait("30 s")
        traces = engine.sql("SELECT DISTINCT workflow, trace_id FROM history WHERE kind = 'run'")

        assert run.status == "COMPLETED"
    assert len(traces) == 3
    assert traces["trace_id"].nunique() == 1


@pytest.mark.parametrize(
    "first", ["9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00", float("nan"), float("inf")]
)
def test_a_schedule_that_begins_where_no_calendar_reaches_is_refused(first):
    with pytest.raises(ok.WorkflowError, match="between the years 1970 and 9000"):
        ok.Schedule("never", every="1 h", first=first)


def test_a_schedule_may_begin_after_nanoseconds_have_ended():
    with ok.Engine() as engine:
        engine.schedule(ok.workflow("w", [ok.wait_for(callback="go")]), every="1 h", first="2300-01-01T00:00:00+00:00")

        assert engine.schedules()["next"].item().isoformat() == "2300-01-01T00:00:00+00:00"
