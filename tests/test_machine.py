"""The machine where the table of semantics cannot look: commands, states, late events, odd orders."""

from __future__ import annotations

import copy

import pytest

from orchkit.decisions import recorded
from orchkit.events import (
    CallbackReceived,
    CancelAsked,
    ChildEnded,
    Event,
    Failure,
    Finish,
    Kind,
    OpenWait,
    RunStep,
    SetTimer,
    StartChild,
    StepCompleted,
    StepFailed,
    StepStarted,
    StopStep,
    TimerFired,
    TimerPurpose,
)
from orchkit.machine import Transition, advance, start
from orchkit.model import Workflow, read_workflow
from orchkit.model.nodes import WaitKind
from orchkit.model.states import ErrorClass, RunStatus, StepStatus
from orchkit.run_state import State

BAD = Failure(ErrorClass.PERMANENT, "Bad", "no")
BUSY = Failure(ErrorClass.TRANSIENT, "Busy", "later")


def read(text: str) -> Workflow:
    return read_workflow(f"workflow: w\n{text}\n")


class Driver:
    """A run, and all that its turns gave."""

    def __init__(self, workflow: Workflow, **inputs):
        self.workflow = workflow
        self.commands = []
        self.records = []
        self.took(start(workflow, inputs, run_id="r"))

    def took(self, transition: Transition) -> Transition:
        self.state = transition.state
        self.commands += transition.commands
        self.records += transition.records
        return transition

    def send(self, *events: Event) -> Transition:
        for event in events:
            transition = self.took(advance(self.workflow, self.state, event))
        return transition

    def run(self, *step_ids: str, output=None) -> Transition:
        for step_id in step_ids:
            transition = self.send(StepStarted(step_id), StepCompleted(step_id, output))
        return transition

    def step(self, node: str) -> str:
        return next(step.id for step in self.state.steps.values() if step.node == node)


# Commands ------------------------------------------------------------------------


def test_a_task_with_a_deadline_sets_its_timer_before_it_is_run():
    run = Driver(read("steps: [{task: a, deadline: 5s}]"))

    assert run.commands == [SetTimer("a#1", TimerPurpose.DEADLINE, 5.0), RunStep("a#1")]


def test_the_timeout_of_an_attempt_is_the_executors():
    run = Driver(read("steps: [{task: a, timeout: 5s}]"))

    assert run.commands == [RunStep("a#1")]


def test_a_wait_says_what_it_waits_for():
    run = Driver(read("steps: [{wait_for: {event: paid, match: event.id == id, timeout: 9s, name: w}}]"), id=7)

    assert run.commands == [
        OpenWait("w#1", WaitKind.EVENT, "paid", "event.id == id"),
        SetTimer("w#1", TimerPurpose.TIMEOUT, 9.0),
    ]


def test_a_timer_until_a_moment_gives_that_moment():
    run = Driver(read("steps: [{wait_for: {timer: due, name: w}}]"), due="1970-01-01T01:00:05+01:00")

    assert run.commands == [SetTimer("w#1", TimerPurpose.TIMER, 0.0, 5.0)]


def test_a_call_starts_a_child_with_its_inputs():
    run = Driver(read('steps: [{call: pay, inputs: {amount: "${n + 1}", to: ["${who}"]}}]'), n=1, who="me")

    assert run.commands == [StartChild("pay#1", "pay", {"amount": 2, "to": ["me"]})]


def test_what_is_given_up_is_stopped():
    run = Driver(read("steps: [{parallel: [{task: a}, {wait_for: {callback: w}}, {task: b}]}]"))
    run.send(StepStarted("a#1"))

    transition = run.send(StepFailed("a#1", BAD))

    assert transition.commands == [
        StopStep("w#2"),
        StopStep("b#3"),
        Finish(RunStatus.FAILED, Failure(ErrorClass.PERMANENT, "Bad", "no", "a")),
    ]


def test_a_deadline_stops_the_attempt_that_runs():
    run = Driver(read("steps: [{task: a, deadline: 5s, on_timeout: [{task: b}]}]"))
    run.send(StepStarted("a#1"))

    transition = run.send(TimerFired("a#1", TimerPurpose.DEADLINE))

    assert transition.commands == [StopStep("a#1"), RunStep("b#2")]


def test_a_retry_is_run_when_its_timer_fires():
    run = Driver(read("retry: {initial_delay: 3s, jitter: 0}\nsteps: [{task: a}]"))
    run.send(StepStarted("a#1"))

    failed = run.send(StepFailed("a#1", BUSY))
    fired = run.send(TimerFired("a#1", TimerPurpose.RETRY))

    assert failed.commands == [SetTimer("a#1", TimerPurpose.RETRY, 3.0)]
    assert (fired.commands, fired.records) == ([RunStep("a#1")], [])


def test_the_delay_of_a_retry_depends_on_run_and_step_and_on_nothing_else():
    workflow = read("steps: [{task: a}]")

    def delay(run_id: str) -> float:
        state = start(workflow, run_id=run_id).state
        state = advance(workflow, state, StepStarted("a#1")).state
        return advance(workflow, state, StepFailed("a#1", BUSY)).commands[0].delay_s

    assert delay("one") == delay("one")
    assert delay("one") != delay("two")
    assert 0.9 <= delay("one") <= 1.1


# Records -------------------------------------------------------------------------


def test_the_first_record_says_what_the_run_began_with():
    run = Driver(read("version: '7'\nsteps: [{task: a}]"), n=1)

    assert run.records[0].kind == Kind.RUN
    assert run.records[0].payload == {"inputs": {"n": 1}, "version": "7"}


def test_a_task_says_its_role_and_its_pass():
    run = Driver(read("steps: [{for_each: items, name: lines, steps: [{task: a, role: clerk}]}]"), items=[1])

    assert run.records[-1].payload == {"role": "clerk", "pass": 0}


def test_a_compensation_says_what_it_undoes():
    run = Driver(read("steps: [{saga: trip, steps: [{task: a, compensate: undo_a}, {task: b}]}]"))
    run.run("a#3")
    run.send(StepStarted("b#4"), StepFailed("b#4", BAD))

    assert [(record.kind, record.node, record.payload) for record in run.records[-1:]] == [
        (Kind.COMPENSATION, "undo_a", {"of": "a#3"}),
    ]


def test_the_last_record_holds_the_variables():
    run = Driver(read("steps: [{task: a}]"), n=1)
    run.run("a#1", output=5)

    assert run.records[-1].payload == {"variables": {"n": 1, "a": 5}}


# States --------------------------------------------------------------------------


def test_a_run_waits_when_nothing_but_time_and_others_can_move_it():
    run = Driver(read("steps: [{parallel: [{task: a}, {wait_for: {callback: w}}, {call: pay}]}]"))

    seen = [run.state.status]
    run.send(StepStarted("a#1"), StepFailed("a#1", BUSY))
    seen.append(run.state.status)
    run.send(StepStarted("a#1"))
    seen.append(run.state.status)

    assert seen == [RunStatus.RUNNING, RunStatus.WAITING, RunStatus.RUNNING]


def test_a_run_is_compensating_while_one_of_its_sagas_is():
    run = Driver(read("steps: [{saga: trip, steps: [{task: a, compensate: undo_a}, {task: b}]}]"))
    run.run("a#3")
    run.send(StepStarted("b#4"), StepFailed("b#4", BAD))

    assert run.state.status is RunStatus.COMPENSATING


def test_a_compensation_sees_the_variables_of_the_moment_when_its_step_completed():
    run = Driver(
        read(
            "steps: [{saga: trip, steps: [{task: a, output: n, compensate: undo_a}, {task: b, output: n}, {task: c}]}]"
        ),
        n=0,
    )
    run.run("a#3", output=1)
    run.run("b#4", output=2)
    run.send(StepStarted("c#5"), StepFailed("c#5", BAD))

    assert run.state.variables["n"] == 2
    assert run.state.variables_of("undo_a#6") == {"n": 1}


def test_a_compensation_inside_a_loop_sees_the_item_of_its_pass():
    run = Driver(
        read("""
steps:
  - saga: trip
    steps: [{for_each: items, name: lines, steps: [{task: line, compensate: undo}]}, {task: b}]
"""),
        items=["x", "y"],
    )
    for _ in range(2):
        run.run(run.step("line"), output="done")
    run.send(StepStarted(run.step("b")), StepFailed(run.step("b"), BAD))

    assert run.state.variables_of(run.step("undo"))["item"] == "y"
    run.run(run.step("undo"))
    assert run.state.variables_of(run.step("undo"))["item"] == "x"


def test_a_pass_reads_the_variables_outside_as_they_are_now():
    run = Driver(
        read("steps: [{parallel: [{for_each: items, name: lines, steps: [{task: line}]}, {task: a, output: n}]}]"),
        items=[1],
        n=0,
    )
    run.run(run.step("a"), output=5)

    assert run.state.variables_of(run.step("line")) == {"items": [1], "n": 5, "item": 1}


# Late, twice, out of place -------------------------------------------------------


def test_an_outcome_that_comes_twice_changes_nothing():
    run = Driver(read("steps: [{task: a}, {task: b}]"))
    run.run("a#1", output=1)
    before = copy.deepcopy(run.state)

    for event in (StepCompleted("a#1", 2), StepFailed("a#1", BAD), StepStarted("a#1"), CallbackReceived("a#1", 3)):
        transition = run.send(event)
        assert (transition.commands, transition.records) == ([], [])
    assert run.state == before


def test_an_attempt_that_begins_twice_begins_once():
    run = Driver(read("steps: [{task: a}]"))
    run.send(StepStarted("a#1"))

    assert run.send(StepStarted("a#1")).records == []
    assert run.state.steps["a#1"].attempt == 1


def test_an_outcome_before_its_attempt_has_begun_changes_nothing():
    run = Driver(read("steps: [{task: a}]"))

    assert run.send(StepCompleted("a#1", 1)).records == []
    assert run.state.steps["a#1"].status is StepStatus.PENDING


def test_an_outcome_of_the_last_attempt_that_comes_while_the_next_one_is_due_changes_nothing():
    run = Driver(read("steps: [{task: a}]"))
    run.send(StepStarted("a#1"), StepFailed("a#1", BUSY))

    assert run.send(StepCompleted("a#1", 1)).records == []
    assert run.state.steps["a#1"].status is StepStatus.RETRYING


def test_events_of_the_wrong_kind_change_nothing():
    run = Driver(
        read(
            "steps: [{parallel: [{task: a}, {wait_for: {callback: w}}, {call: pay}, "
            "{scope: part, steps: [{task: b}]}]}]"
        )
    )
    run.send(StepStarted(run.step("a")))
    wrong = [
        CallbackReceived(run.step("a")),
        ChildEnded(run.step("a"), RunStatus.COMPLETED),
        TimerFired(run.step("a"), TimerPurpose.TIMEOUT),
        TimerFired(run.step("a"), TimerPurpose.TIMER),
        TimerFired(run.step("a"), TimerPurpose.RETRY),
        StepStarted(run.step("w")),
        StepCompleted(run.step("w")),
        TimerFired(run.step("w"), TimerPurpose.TIMER),
        TimerFired(run.step("w"), TimerPurpose.DEADLINE),
        StepCompleted(run.step("pay")),
        StepFailed(run.step("pay"), BAD),
        StepCompleted(run.step("part")),
        StepStarted("nobody#9"),
    ]

    for event in wrong:
        transition = run.send(event)
        assert (event, transition.commands, transition.records) == (event, [], [])


def test_a_run_that_has_ended_stays_as_it_is():
    run = Driver(read("steps: [{task: a}]"))
    run.run("a#1")
    before = copy.deepcopy(run.state)

    transition = run.send(CancelAsked())

    assert (transition.commands, transition.records, transition.state) == ([], [], before)


def test_an_old_state_can_be_advanced_again():
    workflow = read("steps: [{task: a}]")
    running = advance(workflow, start(workflow).state, StepStarted("a#1")).state

    failed = advance(workflow, running, StepFailed("a#1", BAD))
    completed = advance(workflow, running, StepCompleted("a#1"))

    assert failed.state.status is RunStatus.FAILED
    assert completed.state.status is RunStatus.COMPLETED
    assert running.status is RunStatus.RUNNING


# Failures from outside -----------------------------------------------------------


def test_an_attempt_that_says_it_was_cancelled_has_failed():
    run = Driver(read("steps: [{for_each: items, name: lines, tolerated_failures: 0, steps: [{task: a}]}]"), items=[1])
    step_id = run.step("a")
    run.send(StepStarted(step_id), StepFailed(step_id, Failure(ErrorClass.CANCELLED, "CancelledError")))

    assert run.state.status is RunStatus.FAILED


def test_a_called_run_that_somebody_cancelled_has_failed():
    run = Driver(read("steps: [{call: pay}]"))
    run.send(ChildEnded("pay#1", RunStatus.CANCELLED, failure=Failure(ErrorClass.CANCELLED, "Cancelled")))

    assert run.state.status is RunStatus.FAILED
    assert run.records[-2].failure.error_class is ErrorClass.PERMANENT


def test_a_called_run_that_completes_while_its_caller_gives_up_is_undone():
    run = Driver(read("steps: [{saga: trip, steps: [{parallel: [{call: pay, compensate: refund}, {task: a}]}]}]"))
    step_id, call = run.step("a"), run.step("pay")
    run.send(StepStarted(step_id), StepFailed(step_id, BAD))
    run.send(ChildEnded(call, RunStatus.COMPLETED, {"receipt": 1}))

    assert run.commands[-1] == RunStep(run.step("refund"))
    assert run.state.variables_of(run.step("refund")) == {"pay": {"receipt": 1}}


def test_a_called_run_that_completes_after_its_timeout_is_undone():
    run = Driver(read("steps: [{saga: trip, steps: [{call: pay, timeout: 5s, compensate: refund}]}]"))
    call = run.step("pay")
    run.send(TimerFired(call, TimerPurpose.TIMEOUT), ChildEnded(call, RunStatus.COMPLETED, {"receipt": 1}))

    assert run.commands[-1] == RunStep(run.step("refund"))
    assert run.state.variables_of(run.step("refund")) == {"pay": {"receipt": 1}}


# Without end ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        # Nothing in the circle takes time: an empty loop, an empty scope, a call that cannot begin.
        "nodes: {s: start, a: {for_each: {items: '[]', nodes: {}}}, e: end}\nflows: [s -> a, a -> a]",
        "nodes: {s: start, a: {scope: {nodes: {}}}, g: exclusive, e: end}\nflows: [s -> g -> a -> g]",
        "nodes: {s: start, a: {call: {workflow: x, inputs: {n: '${missing}'}}}, e: end}\nflows: [s -> a, a -error-> a]",
        "nodes: {s: start, a: {wait_for: {timer: missing, fallback: 1}}, g: exclusive}\nflows: [s -> g -> a -> g]",
    ],
)
def test_a_circle_in_which_nothing_takes_time_is_reported(text: str):
    finished = start(read(text)).state.finished

    assert finished.status is RunStatus.FAILED
    assert (finished.failure.type, finished.failure.node) == ("Livelock", "a")


def test_many_items_that_are_skipped_are_no_livelock():
    text = "steps: [{for_each: items, name: lines, continue_when: item >= 0, steps: [{task: a}]}]"

    assert start(read(text), {"items": list(range(3_000))}).state.status is RunStatus.COMPLETED


def test_a_tolerance_that_is_no_number_fails_the_loop():
    lines = "{for_each: {items: items, tolerated_failures: 0, nodes: {a: task}}}"
    text = f"nodes: {{s: start, lines: {lines}}}\nflows: [s -> lines]"
    record = read(text).to_record()
    record["nodes"][1]["tolerated_failures"] = "few"
    run = Driver(Workflow.from_record(record), items=[1])
    run.send(StepStarted(run.step("a")), StepFailed(run.step("a"), BAD))

    assert run.state.finished.failure.type == "ExpressionError"


# Decisions -----------------------------------------------------------------------


def test_a_recorded_decision_is_taken_as_it_was():
    workflow = read("steps: [{choice: [{when: n > 0, steps: [{task: a}]}, {otherwise: [{task: b}]}]}]")

    asked = start(workflow, {"n": 1})
    replayed = start(workflow, {"n": 1}, decide=recorded([[1]]))

    assert (asked.commands, replayed.commands) == ([RunStep("a#1")], [RunStep("b#1")])


def test_a_recorded_decision_that_had_no_value_has_none_again():
    workflow = read("steps: [{choice: [{when: missing, steps: [{task: a}]}, {otherwise: [{task: b}]}]}]")

    replayed = start(workflow, decide=recorded([None, [1]]))

    assert replayed.state.finished.failure.type == "ExpressionError"


def test_the_state_of_a_run_that_has_not_begun_is_empty():
    assert (State().status, State().variables) == (RunStatus.RUNNING, {})
