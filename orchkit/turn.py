"""One turn of the machine: the working copy of a state, and what comes out of the turn.

A turn shares the entries of the old state and copies each one when it is first changed, so that a turn
costs what it changes and the old state stays as it was. `orchkit.steps` and `orchkit.scopes` are the
rules; they work on a turn.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeVar

from orchkit.decisions import Decide, Question, QuestionKind
from orchkit.errors import ExpressionError
from orchkit.events import Command, Failure, Kind, Record
from orchkit.model.definition import Workflow, all_nodes
from orchkit.model.expressions import parse
from orchkit.model.nodes import Activity, ForEach, Node, Scope
from orchkit.model.states import ErrorClass, StepStatus, next_status
from orchkit.run_state import Frame, Instance, State, Step
from orchkit.tokens import Net, net_of

__all__ = ["Program", "Turn", "expect", "expression_failure", "program_of"]

T = TypeVar("T")
Entry = TypeVar("Entry", Step, Instance)


@dataclass(frozen=True, slots=True, eq=False)
class Program:
    """What the machine looks up of a workflow.

    Attributes
    ----------
    nets
        The index of each graph, by the name of its scope; the workflow's own under ``""``.
    exits_after
        The for-each scopes whose ``exit_when`` reads what a pass sets.
    """

    nets: Mapping[str, Net]
    exits_after: frozenset[str]


@lru_cache(maxsize=1024)
def program_of(workflow: Workflow) -> Program:
    """Return what the machine looks up of a workflow."""
    nets = {"": net_of(workflow.nodes, workflow.flows)}
    after = set()
    for node in all_nodes(workflow):
        if isinstance(node, Scope):
            nets[node.name] = net_of(node.nodes, node.flows)
        if isinstance(node, ForEach) and node.exit_when is not None:
            try:
                names = set(parse(node.exit_when).names)
            except ExpressionError:
                continue  # reported when it is evaluated
            if names & _outputs(node.nodes):
                after.add(node.name)
    return Program(nets, frozenset(after))


def _outputs(nodes: Sequence[Node]) -> set[str]:
    found: set[str] = set()
    for node in nodes:
        if isinstance(node, Activity):
            found.add(node.output_name)
        if isinstance(node, Scope) and not isinstance(node, ForEach):
            found |= _outputs(node.nodes)
    return found


def expect(value: object, wanted: type[T]) -> T:
    """Return the value, which the rules guarantee to be of this type."""
    if not isinstance(value, wanted):
        message = f"{value!r} where the machine expects a {wanted.__name__}"
        raise TypeError(message)
    return value


def expression_failure(error: ExpressionError, node: str) -> Failure:
    """Return an expression's error as the failure of a node."""
    return Failure(ErrorClass.PERMANENT, "ExpressionError", error.message, node)


class Turn:
    """The working copy of a state.

    Attributes
    ----------
    state
        The new state: its tables are the turn's own, their entries are shared until `step` or `instance` hands
        them out.
    commands, records
        What the turn gives.
    agenda
        What to look at before the turn ends: passes by key (has it ended, is it stuck?), steps by id (may the
        next pass of this loop begin?).
    visits
        How often a node was opened in this turn, by pass and node: where nothing takes time, a jump back
        would go on for ever.
    """

    __slots__ = ("_owned", "agenda", "commands", "decide", "program", "records", "state", "visits", "workflow")

    def __init__(self, workflow: Workflow, state: State, decide: Decide) -> None:
        self.workflow = workflow
        self.program = program_of(workflow)
        self.state = state
        self.decide = decide
        self.commands: list[Command] = []
        self.records: list[Record] = []
        self.agenda: deque[int | str] = deque()
        self.visits: dict[tuple[int, int], int] = {}
        self._owned: set[int | str] = set()

    # The working copy --------------------------------------------------------

    def step(self, step_id: str) -> Step:
        """Return an open step, to be changed."""
        step = self.state.steps[step_id]
        if step_id not in self._owned:
            self._owned.add(step_id)
            step = self.state.steps[step_id] = step.copy()
        return step

    def instance(self, key: int) -> Instance:
        """Return a pass, to be changed."""
        instance = self.state.instances[key]
        if key not in self._owned:
            self._owned.add(key)
            instance = self.state.instances[key] = instance.copy()
        return instance

    def add_step(self, node: str, kind: Kind, status: StepStatus, instance: int) -> Step:
        """Return a new step."""
        step = Step(f"{node}#{self.serial()}", node, kind, instance, status)
        self.state.steps[step.id] = step
        self._owned.add(step.id)
        return step

    def take_back(self, entry: Entry) -> Entry:
        """Put a step or a pass back that had been taken out, and return a copy to be changed."""
        back = entry.copy()
        if isinstance(back, Step):
            self.state.steps[back.id] = back
            self._owned.add(back.id)
        else:
            self.state.instances[back.key] = back
            self._owned.add(back.key)
        return back

    def add_instance(self, scope: str, parent: str | None, frame: int, index: int) -> Instance:
        """Return a new pass."""
        key = 0 if parent is None else self.serial()
        instance = Instance(key, scope, parent, frame, index=index)
        self.state.instances[key] = instance
        self._owned.add(key)
        return instance

    def serial(self) -> int:
        """Return a number that no step, pass or frame of this run has."""
        self.state.serial += 1
        return self.state.serial

    def set_variable(self, frame: int, name: str, value: object) -> None:
        """Set a variable of a frame."""
        old = self.state.frames[frame]
        self.state.frames[frame] = Frame(old.outer, {**old.values, name: value})

    # The definition ----------------------------------------------------------

    def node_of(self, step: Step) -> Activity:
        """Return the node that a step visits."""
        return expect(self.workflow.node(step.node), Activity)

    def scope_of(self, instance: Instance) -> Node | None:
        """Return the scope that a pass goes through; None for the workflow itself."""
        return self.workflow.node(instance.scope) if instance.scope else None

    def net_of(self, instance: Instance) -> Net:
        """Return the index of the graph that a pass goes through."""
        return self.program.nets[instance.scope]

    def ask(self, kind: QuestionKind, node: Node | Activity, frame: int, template: object = None) -> Any:  # noqa: ANN401 -- a JSON value
        """Return the answer to a question about a node, over the variables of a frame."""
        return self.decide(Question(kind, node, self.state.variables_in(frame), template=template))

    # What comes out ----------------------------------------------------------

    def become(
        self,
        step: Step,
        status: StepStatus,
        *,
        failure: Failure | None = None,
        payload: Mapping[str, Any] | None = None,
    ) -> None:
        """Change the status of a step, where the table of states allows it, and record it."""
        step.status = next_status(step.status, status)
        self.note(step, failure=failure, payload=payload)

    def note(self, step: Step, *, failure: Failure | None = None, payload: Mapping[str, Any] | None = None) -> None:
        """Record a step as it is."""
        self.records.append(Record(step.kind, step.status, step.node, step.id, step.attempt, failure, payload))
