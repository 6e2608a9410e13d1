"""What is in flight, as rows of the kernel's memory: the machine's states become those of the kernel."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import isnan
from typing import TYPE_CHECKING

import numpy as np

from orchkit.events import Kind
from orchkit.model.nodes import Activity, Scope, Task, Wait, WaitKind
from orchkit.model.states import ErrorClass, StepStatus
from orchkit.run_state import Mode
from orchkit.simulation.kernel import layout as at
from orchkit.tokens import Net, net_of
from orchkit.turn import expect

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from orchkit.events import Failure
    from orchkit.model.definition import Workflow
    from orchkit.run_state import Instance, Step
    from orchkit.simulation.flight import InFlight, OpenCase, OpenRun, OpenStep
    from orchkit.simulation.lowering import Lowered
    from orchkit.simulation.memory import Memory

__all__ = ["Resumption", "outlasted_notes", "resumption"]

_MODES = {Mode.RUNNING: 0, Mode.ENDING: 1, Mode.FAILING: 2, Mode.UNDOING: 3}
_CLASSES = {ErrorClass(name): code for code, name in enumerate(at.CLASS_NAMES) if name}
_KINDS = {kind: at.KIND_NAMES.index(kind.value) for kind in (Kind.TASK, Kind.WAIT, Kind.SCOPE, Kind.CALL)}
_KINDS[Kind.COMPENSATION] = at.K_COMPENSATION
# As in orchkit.simulation.kernel.resuming, which is not imported here: it would be compiled.
_WORK, _ASK, _RETRY, _WAITS, _TIMER, _TIMEOUT, _DEADLINE, _LOOP, _LATER = range(9)
_NO = -1


@dataclass(frozen=True, slots=True)
class Resumption:
    """Rows of the kernel's memory, and what to do with them.

    Attributes
    ----------
    cases, passes, steps, undos
        Rows of the tables, without the keys of the cases.
    plan
        What `orchkit.simulation.kernel.resuming.resume` takes up, in order: what to do, slot, value.
    serial
        The last number that was given to a step.
    names
        The identifier of each case.
    """

    cases: NDArray[np.int64]
    passes: NDArray[np.int64]
    steps: NDArray[np.int64]
    undos: NDArray[np.int64]
    plan: NDArray[np.int64]
    serial: int
    names: tuple[str, ...]

    @property
    def room(self) -> int:
        """How many rows a table of the memory needs for them."""
        return max(len(self.cases), len(self.passes), len(self.steps), len(self.undos), len(self.plan))

    def put_into(self, memory: Memory) -> None:
        """Write the rows into a memory in which nothing has happened yet."""
        m = memory.m
        tables = (
            (at.M_CASES, at.M_CASE_COUNT, self.cases),
            (at.M_PASSES, at.M_PASS_COUNT, self.passes),
            (at.M_STEPS, at.M_STEP_COUNT, self.steps),
            (at.M_UNDOS, at.M_UNDO_COUNT, self.undos),
        )
        for table, count, rows in tables:
            m[m[table] : m[table] + rows.size] = rows.ravel()
            m[count] = len(rows)
        m[at.M_SERIAL], m[at.M_STEPS_LIVE] = self.serial, len(self.steps)
        m[at.M_LIVE] = m[at.M_ARRIVED] = m[at.M_BEFORE] = len(self.cases)


def resumption(flight: InFlight, program: Lowered) -> Resumption:
    """Return the cases in flight as rows for the memory of a program."""
    building = _Building(program, round(flight.now_s * at.MICRO))
    for case in flight.cases:
        building.add_case(case)
    building.assign_units()
    return building.put_together(tuple(case.case_id for case in flight.cases))


def outlasted_notes(resumed: Resumption, program: Lowered, outlasted: NDArray[np.bool_]) -> tuple[str, ...]:
    """Return what is to be said of steps that have taken longer than the scenario thinks possible."""
    slots = resumed.plan[1::3][outlasted]
    names = [program.nodes[node][0] for node in resumed.steps[slots, at.S_NODE]]
    counts = ", ".join(f"{name} ({names.count(name)})" for name in dict.fromkeys(names))
    if not counts:
        return ()
    text = (
        f"Steps in flight that have taken longer than the scenario thinks possible: {counts}. "
        "Where no draw is as long, they are taken to end at once; give them longer durations."
    )
    return (text,)


@dataclass(slots=True)
class _Working:
    """An attempt that is at work: since when, in which slot, for which role, by whom."""

    since: float
    slot: int
    pool: int
    resource: str | None


@dataclass(slots=True)
class _Building:
    program: Lowered
    now_us: int
    cases: list[list[int]] = field(default_factory=list)
    passes: list[list[int]] = field(default_factory=list)
    steps: list[list[int]] = field(default_factory=list)
    undos: list[list[int]] = field(default_factory=list)
    working: list[_Working] = field(default_factory=list)
    works: list[tuple[int, int, int]] = field(default_factory=list)
    plan: list[tuple[float, int, int, int]] = field(default_factory=list)
    serial: int = 0
    numbers: dict[str, dict[str, int]] = field(default_factory=dict)

    # Cases and runs --------------------------------------------------------------

    def add_case(self, case: OpenCase) -> None:
        p = self.program.program
        row = [0] * (at.K_VISITS + int(p[at.P_NODE_COUNT]))
        row[at.K_NUMBER], row[at.K_ARRIVED] = len(self.cases), round(case.started_s * at.MICRO)
        row[at.K_ROOT], row[at.K_LAST] = len(self.passes), _NO
        self.cases.append(row)
        slots: list[dict[str, int]] = []
        for run in case.runs:
            mine: dict[str, int] = {}
            slots.append(mine)
            for step_id in run.state.steps:
                mine[step_id] = len(self.steps)
                self.steps.append([0] * at.S_WIDTH)
            caller = -1 if run.parent is None else slots[run.parent[0]][run.parent[1]]
            self.add_run(run, mine, caller, case)

    def add_run(self, run: OpenRun, slots: dict[str, int], caller: int, case: OpenCase) -> None:
        passes = {key: len(self.passes) + place for place, key in enumerate(run.state.instances)}
        serials = self.serials_of(run)
        for key, instance in run.state.instances.items():
            parent = caller if instance.parent is None else slots[instance.parent]
            self.add_pass(run, instance, passes, parent)
            if parent >= 0:
                # The steps of all runs of a case that are called are there before their passes.
                self.link_pass(passes[key], parent)
        for step_id, step in run.state.steps.items():
            self.add_step(run, step, run.steps[step_id], slots[step_id], passes, serials)
        for instance in run.state.instances.values():
            self.add_undos(run, instance, passes[instance.key], serials)
            for step_id in instance.open.values():
                self.link_step(slots[step_id], passes[instance.key])
        if case.last is not None and case.last[0] == run.workflow.digest:
            self.cases[-1][at.K_LAST] = self.node_of(run, case.last[1])
        for (digest, name), count in case.visits.items():
            if digest == run.workflow.digest:
                node = self.node_of(run, name)
                if node >= 0:
                    self.cases[-1][at.K_VISITS + node] = count

    def serials_of(self, run: OpenRun) -> dict[str, int]:
        """Return numbers for the steps that are open, or may have to be undone, in the order in which they began."""
        state = run.state
        ids = {*state.steps, *(undo.step_id for one in state.instances.values() for undo in one.undo)}
        ordered = sorted(ids, key=lambda step_id: (int(step_id.rpartition("#")[2]), step_id))
        first = self.serial
        self.serial += len(ordered)
        return {step_id: first + place for place, step_id in enumerate(ordered, 1)}

    def node_of(self, run: OpenRun, name: str) -> int:
        """Return the number of a node, or of a task that compensates one; -1 where the workflow has no such node."""
        digest = run.workflow.digest
        if digest not in self.numbers:
            self.numbers[digest] = self.numbers_of(run.workflow)
        return self.numbers[digest].get(name, _NO)

    def numbers_of(self, workflow: Workflow) -> dict[str, int]:
        p, found = self.program.program, dict[str, int]()
        for (digest, scope), (graph, _) in self.program.places.items():
            if digest != workflow.digest:
                continue
            first = int(p[p[at.P_GRAPHS] + at.G_WIDTH * graph + at.G_FIRST])
            for place, node in enumerate(_graph(workflow, scope).nodes):
                found[node.name] = first + place
                if isinstance(node, Activity) and isinstance(node.compensate, Task):
                    found.setdefault(node.compensate.name, int(self.row(first + place)[at.N_UNDO]))
        return found

    def row(self, node: int) -> NDArray[np.int64]:
        p = self.program.program
        begin = int(p[at.P_NODES]) + at.N_WIDTH * node
        return p[begin : begin + at.N_WIDTH]

    # Passes ----------------------------------------------------------------------

    def add_pass(self, run: OpenRun, instance: Instance, passes: dict[int, int], parent: int) -> None:
        p, state = self.program.program, run.state
        row = [0] * int(p[at.P_HELD])
        graph, base = self.program.places[run.workflow.digest, instance.scope]
        row[at.I_GEN], row[at.I_GRAPH], row[at.I_PARENT] = 1, graph, parent
        row[at.I_MODE], row[at.I_FAILURE] = _MODES[instance.mode], self.failure(run, instance.failure)
        row[at.I_UNDONE_BADLY], row[at.I_INDEX] = int(instance.undone_badly), instance.index
        row[at.I_CASE], row[at.I_ROOT] = len(self.cases) - 1, passes[0]
        row[at.I_UNDO] = row[at.I_FIRST] = row[at.I_LAST] = row[at.I_NEXT] = row[at.I_PREV] = _NO
        row[at.I_SINCE] = at.FOREVER
        if instance.parent is None:
            row[at.I_BAD], row[at.I_CANCELLING] = self.failure(run, state.undone_badly), int(state.cancelling)
        for flow in _graph(run.workflow, instance.scope).held_flows(instance.marking):
            held = p[p[at.P_FLOWS] + at.F_WIDTH * (base + flow) + at.F_HELD]
            row[at.I_HELD + held] = 2 * self.now_us + 1
            row[at.I_HELD_COUNT] += 1
        self.passes.append(row)

    def link_pass(self, slot: int, parent: int) -> None:
        step = self.steps[parent]
        if step[at.S_GEN] == 0:
            step[at.S_GEN], step[at.S_CHILD], step[at.S_CHILD_LAST] = 1, _NO, _NO
        last = step[at.S_CHILD_LAST]
        self.passes[slot][at.I_PREV] = last
        if last >= 0:
            self.passes[last][at.I_NEXT] = slot
        else:
            step[at.S_CHILD] = slot
        step[at.S_CHILD_LAST] = slot

    def link_step(self, slot: int, owner: int) -> None:
        row = self.passes[owner]
        last = row[at.I_LAST]
        self.steps[slot][at.S_PREV] = last
        if last >= 0:
            self.steps[last][at.S_NEXT] = slot
        else:
            row[at.I_FIRST] = slot
        row[at.I_LAST] = slot
        row[at.I_OPEN] += 1

    def add_undos(self, run: OpenRun, instance: Instance, slot: int, serials: dict[str, int]) -> None:
        depth = int(self.program.program[at.P_DEPTH])
        for undo in instance.undo:
            row = [0] * (at.U_WITHIN + depth)
            row[at.U_SERIAL], row[at.U_NODE] = serials[undo.step_id], self.node_of(run, undo.node)
            row[at.U_NEXT] = self.passes[slot][at.I_UNDO]
            within = [serials[step_id] for step_id in undo.within if step_id in serials][:depth]
            row[at.U_DEPTH] = len(within)
            row[at.U_WITHIN : at.U_WITHIN + len(within)] = within
            self.passes[slot][at.I_UNDO] = len(self.undos)
            self.undos.append(row)

    def failure(self, run: OpenRun, failure: Failure | None) -> int:
        if failure is None:
            return 0
        types = self.program.types
        if failure.type not in types:
            types.append(failure.type)
        node = max(self.node_of(run, failure.node), 0)
        flags = at.EXHAUSTED * failure.exhausted | at.UNDONE * failure.compensated
        return (
            _CLASSES[failure.error_class]
            | flags
            | (types.index(failure.type) << at.TYPE_SHIFT)
            | (node << at.NODE_SHIFT)
        )

    # Steps -----------------------------------------------------------------------

    def add_step(
        self,
        run: OpenRun,
        step: Step,
        told: OpenStep,
        slot: int,
        passes: dict[int, int],
        serials: dict[str, int],
    ) -> None:
        row = self.steps[slot]
        if row[at.S_GEN] == 0:
            row[at.S_GEN], row[at.S_CHILD], row[at.S_CHILD_LAST] = 1, _NO, _NO
        number = self.node_of(run, step.node)
        row[at.S_NODE], row[at.S_PASS], row[at.S_KIND] = number, passes[step.instance], _KINDS[step.kind]
        row[at.S_STATUS], row[at.S_ATTEMPT] = at.STATUS_NAMES.index(step.status), step.attempt - step.before
        row[at.S_SERIAL], row[at.S_VISIT] = serials[step.id], told.visit
        row[at.S_FAILURE] = self.failure(run, step.failure)
        row[at.S_ENABLED] = row[at.S_READY] = row[at.S_SINCE] = _us(told.enabled_s)
        row[at.S_TAIL] = at.FOREVER
        row[at.S_STARTED] = _NO if isnan(told.started_s) else _us(told.started_s)
        for place in (at.S_UNIT, at.S_NEXT, at.S_PREV, at.S_Q_NEXT, at.S_Q_PREV, at.S_BATCH_NEXT):
            row[place] = _NO
        row[at.S_LEFT] = row[at.S_OVERTAKEN] = row[at.S_PAUSED] = _NO
        loop = step.loop
        if loop is not None:
            row[at.S_LOOP_NEXT], row[at.S_ACTIVE], row[at.S_FAILED] = loop.next, loop.active, loop.failed
            row[at.S_CLOSED], row[at.S_ITEMS] = int(loop.closed or loop.stopped), len(loop.items)
            row[at.S_FIRST_FAILURE] = self.failure(run, loop.first_failure)
            row[at.S_LEFT] = len(loop.results) - 1
            if not run.is_counted or self.row(number)[at.N_KIND] == at.WHILE:
                self.do(told.opened_s, _LOOP, slot, loop.next)
        node = run.workflow.node(step.node)
        if isinstance(node, Task):
            self.plan_attempt(step, told, slot, node, int(self.row(number)[at.N_POOL]))
        elif isinstance(node, Activity):
            if isinstance(node, Wait):
                self.plan_wait(told, slot, node)
            if node.timeout_s is not None and step.failure is None:
                self.do(told.opened_s, _TIMEOUT, slot, self.not_before(told.opened_s + node.timeout_s))

    def plan_attempt(self, step: Step, told: OpenStep, slot: int, task: Task, pool: int) -> None:
        row = self.steps[slot]
        if task.deadline_s is not None:
            self.do(told.opened_s, _DEADLINE, slot, self.not_before(told.opened_s + task.deadline_s))
        match step.status:
            case StepStatus.RUNNING:
                self.working.append(_Working(told.started_s, slot, pool, told.resource))
            case StepStatus.RETRYING if told.due_s is not None and _us(told.due_s) > self.now_us:
                self.do(told.enabled_s, _RETRY, slot, _us(told.due_s))
            case StepStatus.RETRYING:  # it waits for a resource again
                row[at.S_ATTEMPT] += 1
                row[at.S_READY] = max(row[at.S_ENABLED], _us(told.enabled_s if told.due_s is None else told.due_s))
                self.do(told.enabled_s, _ASK, slot, 0)
            case StepStatus.PENDING if not told.is_enabled and self.row(row[at.S_NODE])[at.N_DELAY] >= 0:
                self.do(told.opened_s, _LATER, slot, _us(told.opened_s))
            case _:
                self.do(told.enabled_s, _ASK, slot, 0)

    def plan_wait(self, told: OpenStep, slot: int, wait: Wait) -> None:
        if told.due_s is None or wait.kind is not WaitKind.TIMER:
            self.do(told.opened_s, _WAITS, slot, 0)
        else:
            self.do(told.opened_s, _TIMER, slot, self.not_before(told.due_s))

    def do(self, since: float, what: int, slot: int, value: int) -> None:
        self.plan.append((since, what, slot, value))

    def not_before(self, moment_s: float) -> int:
        return max(_us(moment_s), self.now_us)

    # Resources -------------------------------------------------------------------

    def assign_units(self) -> None:
        """Give those who are at work to the attempts that run: by name, then by order; who is too many waits first."""
        units = self.program.units
        free = [dict.fromkeys(range(first, first + resource.count)) for _, resource, first in self.program.pools]
        self.working.sort(key=lambda one: one.since)
        chosen = dict.fromkeys((one.slot for one in self.working), _NO)
        for by_name in (True, False):
            for one in self.working:
                if one.pool < 0 or chosen[one.slot] >= 0:
                    continue
                fitting = [unit for unit in free[one.pool] if not by_name or units[unit][1] == one.resource]
                if fitting:
                    chosen[one.slot] = fitting[0]
                    del free[one.pool][fitting[0]]
        self.working.sort(key=lambda one: chosen[one.slot] < 0)
        self.works = [(_WORK, one.slot, chosen[one.slot]) for one in self.working]

    def put_together(self, names: tuple[str, ...]) -> Resumption:
        p = self.program.program
        self.plan.sort(key=lambda row: row[0])
        plan = [*self.works, *(row[1:] for row in self.plan)]
        return Resumption(
            cases=_table(self.cases, at.K_VISITS + int(p[at.P_NODE_COUNT])),
            passes=_table(self.passes, int(p[at.P_HELD])),
            steps=_table(self.steps, at.S_WIDTH),
            undos=_table(self.undos, at.U_WITHIN + int(p[at.P_DEPTH])),
            plan=np.array(plan, dtype=np.int64).reshape(-1),
            serial=self.serial,
            names=names,
        )


def _table(rows: list[list[int]], width: int) -> NDArray[np.int64]:
    return np.array(rows, dtype=np.int64).reshape(-1, width)


def _graph(workflow: Workflow, scope: str) -> Net:
    inside = expect(workflow.node(scope), Scope) if scope else workflow
    return net_of(inside.nodes, inside.flows)


def _us(moment_s: float) -> int:
    return round(moment_s * at.MICRO)
