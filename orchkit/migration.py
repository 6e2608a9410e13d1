"""Migration: the state of a run, taken over into another version of its workflow. Pure.

It is taken over where it maps: each step that is open is a node of the same kind in the same scope of the new version,
each token that waits at a join waits there for the same flows, and what a saga may have to undo can still be undone.
What has been done counts as done; what is added before it is not made up for.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from orchkit.errors import WorkflowError
from orchkit.model.definition import Workflow
from orchkit.model.nodes import Activity, kind_of
from orchkit.run_state import Grave, Instance, Lost, State, Step, Undo
from orchkit.tokens import Net
from orchkit.turn import program_of

__all__ = ["migrated", "problems_of"]


def problems_of(old: Workflow, new: Workflow, state: State) -> list[str]:
    """Return why a state cannot be taken over into another version; nothing where it can.

    Examples
    --------
    >>> from orchkit.machine import start
    >>> from orchkit.model.patterns import task, workflow
    >>> one, two = workflow("w", [task("a"), task("b")]), workflow("w", [task("a"), task("c")])
    >>> running = start(one).state
    >>> problems_of(one, two, running)
    []
    >>> problems_of(one, workflow("w", [task("c")]), running)
    ["Step 'a#1' is at 'a', which the new version has not."]
    """
    if old.name != new.name:
        return [f"A run of {old.name!r} cannot become one of {new.name!r}."]
    passes = [*state.instances.values(), *(grave.instance for grave in state.graves.values())]
    steps = [*state.steps.values(), *(lost.step for each in passes for lost in each.lost)]
    undos = [undo for each in passes for undo in each.undo] + [letter.undo for letter in state.letters]
    found = [*_scope_problems(new, passes), *_step_problems(old, new, steps), *_undo_problems(new, undos)]
    return found or list(_token_problems(old, new, passes))


def migrated(old: Workflow, new: Workflow, state: State) -> State:
    """Return the state of a run in another version, into which it can be taken over."""
    copy = state.copy()
    copy.instances = {key: _taken_over(old, new, instance) for key, instance in state.instances.items()}
    copy.graves = {
        key: Grave(_taken_over(old, new, grave.instance), grave.frame) for key, grave in state.graves.items()
    }
    return copy


def _scope_problems(new: Workflow, passes: Iterable[Instance]) -> Iterable[str]:
    for scope in sorted({each.scope for each in passes if each.scope}):
        if scope not in program_of(new).nets:
            yield f"The run is in scope {scope!r}, which the new version has not."


def _step_problems(old: Workflow, new: Workflow, steps: Iterable[Step]) -> Iterable[str]:
    for step in steps:
        before = old.node(step.node)
        try:
            after = new.node(step.node)
        except WorkflowError:
            yield f"Step {step.id!r} is at {step.node!r}, which the new version has not."
            continue
        if kind_of(before) != kind_of(after):
            yield f"Step {step.id!r} is at {step.node!r}, which was a {kind_of(before)} and is a {kind_of(after)} now."
        elif _scope_of(old, step.node) != _scope_of(new, step.node):
            yield f"Step {step.id!r} is at {step.node!r}, which is in another scope now."


def _undo_problems(new: Workflow, undos: Iterable[Undo]) -> Iterable[str]:
    for undo in undos:
        try:
            node = new.node(undo.node)
        except WorkflowError:
            node = None
        if not isinstance(node, Activity) or node.compensate is None:
            yield f"{undo.node!r} may have to be undone, and the new version does not say how."


def _token_problems(old: Workflow, new: Workflow, passes: Iterable[Instance]) -> Iterable[str]:
    for each in passes:
        net, target = program_of(old).nets[each.scope], program_of(new).nets[each.scope]
        for flow in net.held_flows(each.marking | each.held):
            join = net.nodes[net.target[flow]].name
            number = target.index.get(join)
            same = number is not None and _ways(net, net.target[flow]) == _ways(target, number)
            if not same or kind_of(net.nodes[net.target[flow]]) != kind_of(target.nodes[number or 0]):
                yield f"A token waits at {join!r}, which waits for other flows now."


def _ways(net: Net, node: int) -> list[tuple[str, str]]:
    """Return where the flows into a node come from."""
    return sorted((net.flows[flow].source, str(net.flows[flow].kind)) for flow in net.incoming[node])


def _scope_of(workflow: Workflow, name: str) -> str | None:
    return next((scope for scope, net in program_of(workflow).nets.items() if name in net.index), None)


def _taken_over(old: Workflow, new: Workflow, instance: Instance) -> Instance:
    net, target = program_of(old).nets[instance.scope], program_of(new).nets[instance.scope]
    copy = instance.copy()
    copy.open = {target.index[net.nodes[number].name]: step_id for number, step_id in instance.open.items()}
    copy.marking = _held(net, target, instance.marking)
    for number in copy.open:
        copy.marking |= target.open_bit(number)
    copy.held = _held(net, target, instance.held)
    copy.lost = tuple(Lost(replace(lost.step), lost.done) for lost in instance.lost)
    return copy


def _held(net: Net, target: Net, marking: int) -> int:
    """Return the tokens that wait at joins, by the flows of the new version."""
    found = 0
    for flow in net.held_flows(marking):
        old = net.flows[flow]
        same = (number for number, new in enumerate(target.flows) if _is_same(old, new))
        found |= 1 << next(same)
    return found


def _is_same(old: object, new: object) -> bool:
    return all(getattr(old, name) == getattr(new, name) for name in ("source", "target", "kind"))
