"""The monitor: what is counted over the window, how it went, how the alerts stand; a run that failed is retried."""

import threading

import pytest

import orchkit as ok
from orchkit.view.widgets.pulse import Pulse


class Shop:
    """Ships, or does not."""

    def __init__(self) -> None:
        self.is_down = False

    def ship(self):
        if self.is_down:
            raise ok.TransientError("no answer")
        return "sent"


@pytest.fixture
def shop():
    return Shop()


@pytest.fixture
def engine(shop):
    with ok.Engine(handlers=[shop.ship]) as engine:
        yield engine


ALERT = ok.Alert("high_failure_rate", "failure_rate > 10%", window="15m", severity="critical")
ORDER = ok.workflow("order", [ok.task("ship", retry={"max_attempts": 1})], alerts=[ALERT])


def cards(state):
    return {card["title"]: card for card in state["cards"]}


def run_three(engine, shop):
    engine.run(ORDER, case_id="1")
    engine.run(ORDER, case_id="2")
    shop.is_down = True
    return engine.run(ORDER, case_id="3")


def test_each_figure_has_its_value_and_a_trend_that_adds_up_to_it(engine, shop):
    run_three(engine, shop)
    monitor = ok.Monitor(engine)
    monitor.close()

    found = cards(monitor.state)
    assert {title: card["value"] for title, card in found.items() if "duration" not in title} == {
        "active": "0",
        "completed": "2",
        "failed": "1",
        "completion rate": "66.7%",
        "error rate": "33.3%",
        "queued steps": "0",
        "dead letters": "1",
    }
    assert all(len(card["trend"]) in (31, 32) for card in found.values())
    assert sum(found["completed"]["trend"]) == 2
    assert sum(found["failed"]["trend"]) == 1
    assert found["dead letters"]["trend"][-1] == 1
    assert [row["letters"] for row in monitor.state["workflows"]] == [1]


def test_what_waits_is_told_by_workflow_and_status(engine):
    engine.start(ok.workflow("claim", [ok.wait_for(callback="answer")]), case_id="1")
    pulse = Pulse.take(engine, 3600)
    states = pulse.states(pulse.held())

    assert states.tolist() == ["WAITING"]
    assert [(row["workflow"], row["active"]) for row in pulse.workflows(states)] == [("claim", 1)]
    assert "waiting 1" in pulse.workflows(states)[0]["states"]


def test_alerts_of_a_watch_fire_are_silenced_and_resolve(engine, shop):
    failed = run_three(engine, shop)
    with ok.watch(engine, every=None) as watch:
        watch.check()
        monitor = ok.Monitor(engine, watch=watch)
        monitor.close()

        def told():
            monitor.refresh()
            return [(row["key"], row["state"], row["value"], bool(row["silenced"])) for row in monitor.state["alerts"]]

        assert told() == [("order/high_failure_rate", "▲ firing", "33.3%", False)]
        watch.silence("high_failure_rate", "1 h", "known")
        assert told() == [("order/high_failure_rate", "▲ firing", "33.3%", True)]
        assert monitor.state["alerts"][0]["since"]
    assert "order/high_failure_rate" in monitor.picture().text
    assert failed.status == "DEAD_LETTERED"


def test_an_alert_that_must_hold_longer_is_pending(engine, shop):
    run_three(engine, shop)
    with ok.watch(engine, every=None, hold="1 h") as watch:
        watch.check()
        monitor = ok.Monitor(engine, watch=watch)
        monitor.close()
    assert [row["state"] for row in monitor.state["alerts"]] == ["◔ pending"]


def test_without_a_watch_alerts_are_evaluated_and_nothing_is_written(engine, shop):
    run_three(engine, shop)
    before = engine.last_seq()
    monitor = ok.Monitor(engine, every="0.2 s")
    is_told = threading.Event()
    monitor.observe(lambda change: change["new"]["alerts"] and is_told.set(), "state")
    assert monitor.state["alerts"] or is_told.wait(30)
    monitor.close()

    assert [(row["alert"], row["state"], row["severity"]) for row in monitor.state["alerts"]] == [
        ("high_failure_rate", "▲ firing", "critical")
    ]
    assert engine.last_seq() == before


def test_what_has_not_changed_is_not_sent_again(engine):
    engine.run(ok.workflow("claim", [ok.task("ship")]), case_id="1")
    monitor = ok.Monitor(engine, window="700 d")
    monitor.close()
    sent = []
    monitor.observe(sent.append, "state")
    monitor.refresh()
    monitor.refresh()
    assert sent == []


def test_a_dead_letter_is_retried_from_the_step_that_failed_and_from_its_start(engine, shop):
    run = run_three(engine, shop)
    view = ok.RunView(run)
    view.close()
    assert (view.state["status"], view.state["retry"]) == ("dead-lettered", ["failure", "start"])
    assert "<svg" in view.state["gantt"]

    shop.is_down = False
    view.act("retry", from_start=False)
    run.wait("30 s")
    view.refresh()

    assert (view.problem, view.state["status"], view.state["retry"]) == ("", "completed", [])
    assert [step["status"] for step in view.state["steps"]] == ["✗ failed", "✓ completed"]
    view.act("retry", from_start=True)
    assert "is COMPLETED" in view.problem


def test_a_moment_before_shows_the_step_at_work_and_no_error_of_later(engine, shop):
    run = run_three(engine, shop)
    rows = run.history()
    view = ok.RunView(run)
    view.close()
    view.act("look_at", seq=int(rows.loc[rows["status"] == "RUNNING", "seq"].max()))

    assert view.state["current"] == ["ship"]
    assert [(step["status"], step["error"]) for step in view.state["steps"]] == [("… running", "")]
    assert view.state["retry"] == []
