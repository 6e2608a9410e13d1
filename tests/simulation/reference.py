"""The machine in virtual time, with the draws of the kernel: what the kernel must do, rule by rule."""

from __future__ import annotations

import heapq
from collections import defaultdict, deque
from dataclasses import dataclass, field
from typing import Any

from orchkit.decisions import Question, QuestionKind
from orchkit.events import (
    CallbackReceived,
    CancelAsked,
    ChildEnded,
    Failure,
    Finish,
    Kind,
    OpenWait,
    Record,
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
from orchkit.model.nodes import Gateway, GatewayKind, Task, While
from orchkit.model.states import ErrorClass, StepStatus
from orchkit.run_state import State
from orchkit.simulation.kernel import layout as at
from orchkit.simulation.kernel.draws import draw, micros, sample, stream


@dataclass(slots=True)
class Run:
    workflow: Any
    parent: Any = None
    state: State = field(default_factory=State)
    visits: dict = field(default_factory=dict)
    children: dict = field(default_factory=dict)


class World:
    """One case of a lowered workflow, all resources unlimited."""

    def __init__(self, workflow, scenario, lowered, key, now):
        self.scenario, self.lowered, self.key, self.now = scenario, lowered, key, now
        self.ids = {name: number for number, (name, *_) in enumerate(lowered.nodes)}
        self.p, self.d = lowered.program, lowered.numbers
        self.counts, self.asked = defaultdict(int), defaultdict(int)
        self.loops: dict[str, tuple[int, int]] = {}
        self.heap, self.serial, self.messages, self.trace = [], 0, deque(), []
        self.root = Run(workflow)

    def row(self, node):
        return self.p[self.p[at.P_NODES] + at.N_WIDTH * self.ids[node] :][: at.N_WIDTH]

    def u(self, node, visit, attempt, purpose):
        return draw(self.key, self.ids[node], visit, attempt, purpose)

    def time(self, distribution, node, visit, attempt, purpose):
        key = stream(self.key, self.ids[node], visit, attempt, purpose)
        return sample(self.p, self.d, distribution, self.key, key, -1)

    def play(self):
        self.took(self.root, start(self.root.workflow, {}, decide=self.decide))
        self.deliver()
        while self.heap:
            self.now, _, then = heapq.heappop(self.heap)
            then()
            self.deliver()
        return self.trace

    def at(self, after, then):
        self.serial += 1
        heapq.heappush(self.heap, (self.now + after, self.serial, then))

    def go(self, run, event):
        if run.state.finished is None:
            self.took(run, advance(run.workflow, run.state, event, decide=self.decide))

    def took(self, run: Run, transition: Transition):
        run.state = transition.state
        for record in transition.records:
            self.note(run, record)
        for command in transition.commands:
            self.carry_out(run, command)

    def note(self, run: Run, record: Record):
        opens = record.status in ("PENDING", "WAITING") or (
            record.status == "RUNNING" and record.kind in (Kind.SCOPE, Kind.CALL)
        )
        if opens and record.step_id not in run.visits:
            self.counts[record.node] += 1
            run.visits[record.step_id] = self.counts[record.node]
        if record.kind == Kind.RUN and record.status == "RUNNING":
            return
        node = None if record.kind in (Kind.RUN, Kind.CANCEL) else record.node
        self.trace.append((self.now, record.kind.value, str(record.status), node))

    def deliver(self):
        while self.messages:
            run, event = self.messages.popleft()
            if event is None:
                self.took(run, start(run.workflow, {}, decide=self.decide))
            else:
                self.go(run, event)

    def carry_out(self, run, command):
        match command:
            case RunStep(step_id):
                if step_id in run.state.steps:
                    self.attempt(run, step_id)
            case SetTimer(step_id, TimerPurpose.RETRY):
                step = run.state.steps.get(step_id)
                if step is not None:
                    after = self.delay(step.node, run.visits[step_id], step.attempt)
                    self.at(after, lambda: self.go(run, TimerFired(step_id, TimerPurpose.RETRY)))
            case SetTimer(step_id, purpose, delay_s):
                if step_id in run.state.steps:
                    self.at(micros(delay_s), lambda: self.go(run, TimerFired(step_id, purpose)))
            case OpenWait(step_id):
                if step_id in run.state.steps:
                    self.wait(run, step_id)
            case StartChild(step_id, name):
                child = Run(run.workflow.called(name), (run, step_id))
                run.children[step_id] = child
                self.messages.append((child, None))
            case StopStep(step_id) if step_id in run.children:
                self.messages.append((run.children[step_id], CancelAsked()))
            case Finish(status, failure) if run.parent is not None:
                parent, step_id = run.parent
                self.messages.append((parent, ChildEnded(step_id, status, {}, failure)))

    def delay(self, node, visit, attempt):
        initial, longest, multiplier, jitter = self.d[self.row(node)[at.N_RETRY] :][:4]
        delay = min(initial * multiplier ** (attempt - 1), longest)
        if jitter > 0:
            delay *= 1 + jitter * (2 * self.u(node, visit, attempt, at.U_RETRY) - 1)
        return micros(delay)

    def attempt(self, run, step_id):
        self.go(run, StepStarted(step_id))
        step = run.state.steps[step_id]
        node, visit, attempt = step.node, run.visits[step_id], step.attempt
        row, task = self.row(node), run.workflow.node(node)
        assert isinstance(task, Task)
        event, after = StepCompleted(step_id), row[at.N_WORK]
        u = self.u(node, visit, attempt, at.U_FAIL)
        for way in self.scenario.failures.get(node, ()):
            if u < way.probability:
                event = StepFailed(step_id, Failure(way.error, way.type))
                break
            u -= way.probability
        work = micros(self.time(after, node, visit, attempt, at.U_WORK))
        timeout = row[at.N_TIMEOUT]
        if timeout >= 0 and work > timeout:
            event, work = StepFailed(step_id, Failure(ErrorClass.TIMEOUT, "Timeout")), timeout

        def ends():
            now = run.state.steps.get(step_id)
            if now is not None and now.attempt == attempt and now.status is StepStatus.RUNNING:
                self.go(run, event)

        self.at(work, ends)

    def wait(self, run, step_id):
        node, visit = run.state.steps[step_id].node, run.visits[step_id]
        response = self.scenario.waits[node]
        if response.never and self.u(node, visit, 0, at.U_NEVER) < response.never:
            return
        after = micros(self.time(self.row(node)[at.N_WORK], node, visit, 0, at.U_WAIT))
        fails = response.fails and self.u(node, visit, 0, at.U_WAIT_FAILS) < response.fails
        failure = Failure(ErrorClass.PERMANENT, "CallbackFailed")
        event = StepFailed(step_id, failure) if fails else CallbackReceived(step_id)
        self.at(after, lambda: self.go(run, event))

    # Decisions -----------------------------------------------------------------

    def decide(self, question: Question):
        node, name = question.node, question.node.name
        match question.kind:
            case QuestionKind.SPLIT:
                return self.split(question, name)
            case QuestionKind.ITEMS:
                self.asked[name] += 1
                visit = self.asked[name]
                count = int(self.time(self.row(name)[at.N_ITERATIONS], name, visit, 0, at.U_ITEMS) + 0.5)
                return [[visit, position] for position in range(count)]
            case QuestionKind.SKIP | QuestionKind.EXIT:
                visit, position = question.variables[node.item]
                skip = question.kind is QuestionKind.SKIP
                share = getattr(self.scenario.loops[name], "skip" if skip else "exit")
                return self.u(name, visit, position + 1, at.U_SKIP if skip else at.U_EXIT) < share
            case QuestionKind.REPEAT:
                assert isinstance(node, While)
                visit, position = self.loops.get(name, (1, 0))
                items = int(self.time(self.row(name)[at.N_ITERATIONS], name, visit, 0, at.U_ITEMS) + 0.5)
                again = position < items
                self.loops[name] = (visit, position + 1) if again else (visit + 1, 0)
                return again
            case QuestionKind.DELAY:
                self.asked[name] += 1
                response = self.scenario.waits[name]
                assert not response.never
                return self.time(self.row(name)[at.N_WORK], name, self.asked[name], 0, at.U_WAIT)
            case _:
                return question.template

    def split(self, question, name):
        shares = [self.scenario.branching[name].get(flow.target, 0.0) for flow in question.flows]
        gateway = isinstance(question.node, Gateway)
        if gateway and question.node.kind is GatewayKind.EXCLUSIVE:
            targets = [flow.target for flow in question.flows]  # the first flow to a target takes its whole share
            shares = [
                0.0 if flow in targets[:place] else share
                for place, (flow, share) in enumerate(zip(targets, shares, strict=True))
            ]
        is_own = gateway and name in self.ids and self.row(name)[at.N_KIND] in (at.XOR, at.OR)
        if is_own:
            self.counts[name] += 1
        visit = self.counts[name]
        if gateway and question.node.kind is GatewayKind.EXCLUSIVE:
            u = self.u(name, visit, 0, at.U_BRANCH)
            for position, share in enumerate(shares):
                if share > 0 and u < share:
                    return [position]
                u -= share
            return [max(position for position, share in enumerate(shares) if share > 0)]
        row = self.row(name)
        lists = self.p[self.p[at.P_LISTS] + row[at.N_OUT] :][: row[at.N_OUT_COUNT]]
        flows = [self.p[self.p[at.P_FLOWS] + at.F_WIDTH * flow :][: at.F_WIDTH] for flow in lists]
        places = [place for place, flow in enumerate(flows) if gateway or flow[at.F_CONDITION] >= 0]
        taken = [
            position
            for position, flow in enumerate(question.flows)
            if flow.condition is not None and self.u(name, visit, places[position] + 1, at.U_BRANCH) < shares[position]
        ]
        default = [position for position, flow in enumerate(question.flows) if flow.condition is None][:1]
        return taken or (default if gateway else [])
