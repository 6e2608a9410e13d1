from __future__ import annotations

import threading
import time

import numpy as np
import pandas as pd
import pytest

import orchkit as ok
from orchkit.operations.channels import channel_of
from orchkit.operations.signatures import verify
from orchkit.testing import Receiver, VirtualClock

ALERTS = """
workflow: order
alerts:
  - name: high_failure_rate
    condition: failure_rate > 10%
    window: 15m
    severity: warning
  - name: workflow_stuck
    condition: step_duration > 30m
    severity: critical
steps: [{task: ship}, {wait_for: {callback: paid}}]
"""


class Shop:
    def __init__(self):
        self.down = False

    def ship(self):
        if self.down:
            raise ok.PermanentError("closed")


@pytest.fixture
def clock():
    return VirtualClock("2027-03-01T09:00:00+00:00", skip=False)


def changes(frame):
    return [list(row) for row in zip(frame["alert"], frame["state"], strict=True)]


def shipped(engine, case):
    """Start an order, and return it once it waits for its payment, or has failed."""
    run = engine.start("order", case_id=case)
    while run.status == "RUNNING":
        time.sleep(0.001)
    return run


def order(engine, case, *, pay=True):
    run = shipped(engine, case)
    if pay:
        engine.complete(run, "paid")
        run.wait("30 s")
    return run


def test_the_alerts_of_a_file_fire_resolve_and_are_told_once(clock, tmp_path):
    shop, told = Shop(), []
    with ok.Engine(tmp_path / "s.duckdb", [shop.ship], clock=clock) as engine:
        engine.deploy(ok.read_workflow(ALERTS))
        with ok.watch(engine, every=None, channels=[lambda *message: told.append(message)]) as watch:
            order(engine, "1")
            assert watch.check().empty
            shop.down = True
            engine.start("order", case_id="2").wait("30 s")
            assert changes(watch.check()) == [["high_failure_rate", "firing"]]
            assert watch.check().empty
            shop.down = False
            order(engine, "3", pay=False)
            clock.advance("31 min")
            assert changes(watch.check()) == [["high_failure_rate", "resolved"], ["workflow_stuck", "firing"]]
            engine.complete(engine.find("order", "3"), "paid")
            clock.advance("16 min")
            assert changes(watch.check()) == [["workflow_stuck", "resolved"]]
        rows = engine.sql("SELECT status FROM history WHERE kind = 'alert' ORDER BY seq")

    assert [title for title, _, _ in told] == [
        "order: high_failure_rate is firing",
        "order: high_failure_rate is resolved",
        "order: workflow_stuck is firing",
        "order: workflow_stuck is resolved",
    ]
    assert told[0][1] == "[warning] high_failure_rate: failure_rate > 10% (50.0%)"
    assert told[2][1] == "[critical] workflow_stuck: step_duration > 30m (31m)"
    assert rows["status"].tolist() == ["FIRING", "RESOLVED", "FIRING", "RESOLVED"]


def test_what_is_told_live_is_what_a_backtest_tells_later(clock, tmp_path):
    """Each minute for 45 minutes: the watch fires and resolves where the backtest on the final log does."""
    shop, rng, seen = Shop(), np.random.default_rng(7), {"high_failure_rate": [], "workflow_stuck": []}
    with ok.Engine(tmp_path / "s.duckdb", [shop.ship], clock=clock) as engine:
        engine.deploy(ok.read_workflow(ALERTS.replace("30m", "12m")))
        waiting = []
        with ok.watch(engine, [engine.current("order")], every=None) as watch:
            for minute in range(45):
                shop.down = rng.random() < (0.8 if 10 < minute < 16 else 0.01)
                run = shipped(engine, str(minute))
                waiting.append((minute + rng.exponential(15), run))
                for due, paid in list(waiting):
                    if paid.status.is_final:
                        waiting.remove((due, paid))
                    elif due <= minute:
                        engine.complete(paid, "paid")
                        paid.wait("30 s")
                        waiting.remove((due, paid))
                for _, row in watch.check().iterrows():
                    seen[row["alert"]].append((minute, row["state"]))
                clock.advance("1 min")
        tested = ok.backtest(engine.current("order"), engine.log("order"))

    start = pd.Timestamp("2027-03-01T09:00Z")
    for name, told in seen.items():
        minutes = []
        for row in tested[tested["alert"] == name].itertuples():
            first = np.ceil((row.fired - start).total_seconds() / 60)
            after = np.inf if pd.isna(row.resolved) else np.ceil((row.resolved - start).total_seconds() / 60)
            minutes += [(first, "firing"), (after, "resolved")] if after > first else []
        assert told, name
        assert told == [(minute, state) for minute, state in minutes if minute < 45], name


def test_an_alert_is_pending_until_its_condition_has_held(clock):
    shop = Shop()
    with ok.Engine(handlers=[shop.ship], clock=clock) as engine:
        engine.deploy(ok.read_workflow(ALERTS))
        with ok.watch(engine, every=None, hold="5 min") as watch:
            shop.down = True
            engine.start("order", case_id="1").wait("30 s")
            assert watch.check().empty
            assert watch.states()["state"].tolist() == ["pending"]
            clock.advance("5 min")
            assert changes(watch.check()) == [["high_failure_rate", "firing"]]


def test_a_restart_repeats_nothing_and_a_silence_holds(clock, tmp_path):
    shop, told = Shop(), []
    shop.down = True
    path, channels = tmp_path / "s.duckdb", [lambda *message: told.append(message[0])]
    with ok.Engine(path, [shop.ship], clock=clock) as engine:
        engine.deploy(ok.read_workflow(ALERTS))
        engine.start("order", case_id="1").wait("30 s")
        with ok.watch(engine, every=None, channels=channels) as watch:
            watch.check()
    with ok.Engine(path, [shop.ship], clock=clock) as engine, ok.watch(engine, every=None, channels=channels) as watch:
        assert watch.check().empty
        watch.silence("high_*", "1 h", "we know", by="Ada")
        clock.advance("16 min")
        assert changes(watch.check()) == [["high_failure_rate", "resolved"]]
    with ok.Engine(path, [shop.ship], clock=clock) as engine, ok.watch(engine, every=None, channels=channels) as watch:
        assert watch.states()["silenced_until"].notna().tolist() == [True]
        clock.advance("45 min")
        engine.start("order", case_id="2").wait("30 s")
        assert changes(watch.check()) == [["high_failure_rate", "firing"]]

    assert told == ["order: high_failure_rate is firing"] * 2


def test_a_watch_looks_by_itself_while_runs_go_on():
    told = threading.Event()
    shop = Shop()
    shop.down = True
    with ok.Engine(handlers=[shop.ship]) as engine:
        engine.deploy(ok.read_workflow(ALERTS))
        with ok.watch(engine, every="10 ms", channels=[lambda *_: told.set()]):
            engine.run("order", case_id="1")
            assert told.wait(30)


def test_a_channel_that_fails_is_tried_again_and_stops_nothing(clock):
    tries = []

    def broken(*_):
        tries.append(1)
        if len(tries) < 3:
            raise ConnectionError("no network")

    shop = Shop()
    shop.down = True
    with ok.Engine(handlers=[shop.ship], clock=clock) as engine:
        engine.deploy(ok.read_workflow(ALERTS))
        with ok.watch(engine, every=None, channels=[broken]) as watch:
            engine.run("order", case_id="1")
            watch.check()
            assert (watch.unsent, str(watch.error)) == (1, "no network")
            watch.check()
            watch.check()
            assert (watch.unsent, len(tries)) == (0, 3)


def test_a_webhook_is_signed_and_apprise_is_asked_for_all_else():
    document = {"workflow": "order", "state": "firing", "alerts": [], "sent_at": 1_800_000_000}
    with Receiver() as receiver:
        for _ in range(2):
            channel_of(receiver.url, "hunter22")("order: a is firing", "a", document)
        channel_of(receiver.url.replace("http://", "json://"))("order: a is firing", "a", document)

    first, again, apprised = receiver.messages
    assert verify("hunter22", first.headers, first.body, now=1_800_000_000).id == again.headers["webhook-id"]
    assert first.json == {"title": "order: a is firing", "text": "a", **document}
    assert apprised.json["title"] == "order: a is firing"
    with pytest.raises(ok.WorkflowError, match="nonsense://"):
        channel_of("nonsense://x")


def test_a_webhook_that_does_not_take_an_alert_or_leads_elsewhere_is_told_again():
    for code, said in ((503, "answered 503"), (302, "redirects are not followed")):
        with Receiver(lambda _, code=code: code) as receiver, pytest.raises(ok.TransientError, match=said):
            channel_of(receiver.url)("title", "text", {})
        assert len(receiver.messages) == 1


def test_each_metric_is_told_now_as_a_backtest_tells_it():
    rng = np.random.default_rng(3)
    begin = pd.Timestamp("2024-05-06T09:00Z")
    started = np.sort(rng.uniform(0, 300, 200))
    status = rng.choice(["COMPLETED", "FAILED"], 200, p=[0.8, 0.2])
    moments = pd.DataFrame(
        {
            "enabled": started,
            "started": started + rng.exponential(3, 200),
            "completed": started + 3 + rng.exponential(20, 200),
        }
    )
    frame = moments.apply(lambda column: begin + pd.to_timedelta(column, unit="min"))
    frame["started"] = frame[["started", "completed"]].min(axis="columns")
    frame = frame.assign(case_id=[str(n) for n in range(200)], activity="ship", status=status)
    named = ok.EventLog(frame.assign(workflow="w"))
    conditions = ["failure_rate > 20%", "error_rate >= 25%", "failures > 3", "throughput < 30", "active > 15"]
    conditions += ["queue_depth > 2", "busy > 14", "arrivals > 12", "step_duration > 50m", "case_duration > 1h"]
    conditions += ["sla_breaches > 1", "completion_rate < 70%"]
    alerts = [ok.Alert(condition, condition) for condition in conditions]
    flow = ok.workflow("w", [ok.task("ship")], sla="30 min", alerts=alerts)
    episodes = ok.backtest(flow, named)

    assert set(episodes["alert"]) == set(conditions)
    for minute in range(31, 300, 13):
        at = begin + pd.Timedelta(minutes=minute, seconds=7)
        known = named.steps[named.steps["enabled"] <= at].astype({"status": "str"})
        late = known["completed"] > at
        known.loc[late, ["completed"]] = pd.NaT
        known.loc[known["started"] > at, "started"] = pd.NaT
        known.loc[late, "status"] = np.where(known.loc[late, "started"].isna(), "PENDING", "RUNNING")
        cases = named.cases[named.cases["case_id"].isin(known["case_id"])].astype({"status": "str"})
        open_ = cases["completed"] > at
        cases.loc[open_, "completed"] = pd.NaT
        cases.loc[open_, "status"] = "RUNNING"
        now = ok.evaluate(flow, ok.EventLog(known, cases), at)
        holding = set(episodes[(episodes["fired"] <= at) & ~(episodes["resolved"] <= at)]["alert"])
        assert set(now[now["holds"]]["alert"]) == holding, minute


def test_an_unusual_hour_stands_out_from_the_same_hours_before_it():
    rng = np.random.default_rng(5)
    rows = []
    for day in range(24):
        for hour in range(24):
            usual = 60 if 8 <= hour < 18 and day % 7 < 5 else 3
            count = rng.poisson(usual)
            if (day, hour) == (22, 10):
                count = 2  # nearly nothing on a Tuesday morning; as much as in any night
            begin = pd.Timestamp("2024-05-06T00:00Z") + pd.Timedelta(days=day, hours=hour)
            rows += [begin + pd.Timedelta(minutes=float(m)) for m in rng.uniform(0, 59, count)]
    frame = pd.DataFrame({"started": rows, "completed": rows})
    log = ok.EventLog(frame.assign(case_id=[str(n) for n in range(len(rows))], activity="a", status="COMPLETED"))

    found = ok.backtest([ok.Alert("odd", "anomaly(arrivals) > 4.5", window="1 h")], log)

    assert str(found["fired"].iloc[-1]) == "2024-05-28 11:00:00+00:00"
    assert len(found) <= 3
    with pytest.raises(ok.WorkflowError, match="anomaly\\(\\) takes"):
        ok.backtest([ok.Alert("odd", "anomaly(active) > 4", window="1 h")], log)
