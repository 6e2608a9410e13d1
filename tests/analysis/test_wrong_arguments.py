"""What is no log is refused in words by every verb, and what a log does not know is not made up."""

from __future__ import annotations

import pandas as pd
import pytest

import orchkit as ok

STEPS = pd.DataFrame(
    {
        "case_id": ["o1", "o1", "o2"],
        "activity": ["check", "ship", "check"],
        "completed": ["2024-05-06T09:00Z", "2024-05-06T10:00Z", "2024-05-06T11:00Z"],
    }
)
ORDER = ok.workflow("order", [ok.task("check"), ok.task("ship")])
VERBS = {
    **{
        name: getattr(ok, name)
        for name in (
            *(
                "bottlenecks",
                "cycle_times",
                "directly_follows",
                "discover",
                "dotted_chart",
                "end_activities",
                "explain",
            ),
            *("failure_chains", "failure_outcomes", "failures", "handovers", "kpis", "metrics", "only", "performers"),
            *("retries", "rework", "start_activities", "survival", "throughput", "variants"),
            *("waiting_times", "where", "without", "workload", "arrivals_of"),
        )
    },
    **{
        f"charts.{name}": getattr(ok.charts, name)
        for name in (
            "cycle_times",
            "dotted_chart",
            "failures",
            "gantt",
            "queues",
            "survival",
            "utilization",
            "variants",
        )
    },
    "compare": lambda log: ok.compare({"a": log, "b": log}),
    "conformance": lambda log: ok.conformance(ORDER, log),
    "distances": lambda log: ok.distances(log, log),
    "fit": lambda log: ok.fit(ORDER, log),
    "sla": lambda log: ok.sla(log, "2 d"),
    "write_log": lambda log: ok.write_log(log, "never.csv"),
}


@pytest.mark.parametrize("name", VERBS)
def test_what_is_no_log_is_refused_with_what_to_pass(name: str) -> None:
    for thing, kind in ((None, "NoneType"), ("orders.xes", "str"), (ORDER, "Workflow")):
        with pytest.raises(ok.LogError, match=f"{name} takes an event log, not {kind}"):
            VERBS[name](thing)
    with pytest.raises(ok.LogError, match=rf"{name} takes an event log, not DataFrame. .*ok\.read_log\(frame\)"):
        VERBS[name](STEPS)


def test_several_logs_are_no_log() -> None:
    log = ok.EventLog(STEPS)
    with pytest.raises(ok.LogError, match="It holds several"):
        ok.variants({"a": log, "b": log})  # type: ignore[arg-type]


def test_a_workflow_and_a_log_the_other_way_around_are_told() -> None:
    with pytest.raises(ok.WorkflowError, match="conformance takes a workflow, not EventLog"):
        ok.conformance(ok.EventLog(STEPS), ORDER)  # type: ignore[arg-type]


def test_logs_to_compare_have_names() -> None:
    with pytest.raises(ok.LogError, match="logs by name, .* not list"):
        ok.compare([ok.EventLog(STEPS)] * 2)  # type: ignore[arg-type]


@pytest.mark.parametrize("verb", [ok.handovers, ok.performers, ok.workload])
def test_who_did_what_is_not_answered_for_a_log_that_does_not_know(verb: object) -> None:
    with pytest.raises(ok.LogError, match="No step of the log says its resource"):
        verb(ok.EventLog(STEPS))  # type: ignore[operator]
    assert verb(ok.EventLog(STEPS.iloc[:0])).empty  # type: ignore[operator]


def test_a_log_without_starts_has_no_waiting_and_no_processing_time() -> None:
    names = set(ok.kpis(ok.EventLog(STEPS))["kpi"])
    assert not {name for name in names if name.startswith(("waiting_time", "processing_time", "queue_length"))}


def test_idle_time_of_a_log_without_resources_has_no_known_cause() -> None:
    assert ok.bottlenecks(ok.EventLog(STEPS))[["activity", "cause"]].to_numpy().tolist() == [
        ["ship", "not known"],
        ["check", ""],
    ]
