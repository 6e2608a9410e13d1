"""A workflow as the values of its YAML form: steps where its graph is made of blocks, else nodes and flows."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from orchkit.errors import WorkflowError
from orchkit.model.blocks import Block, Branch, Choice, Parallel, Step
from orchkit.model.building import flows_of
from orchkit.model.definition import Trigger, Workflow
from orchkit.model.nodes import (
    Activity,
    Call,
    End,
    Flow,
    FlowKind,
    ForEach,
    Node,
    Scope,
    Task,
    Wait,
    WaitKind,
    While,
    kind_of,
)
from orchkit.model.outline import outline
from orchkit.model.records import values_record
from orchkit.model.yaml_text import Tall, TallList
from orchkit.units import format_duration, seconds

__all__ = ["workflow_values"]

_GENERATED = re.compile(r"(choice|parallel|for_each|repeat_while|saga|scope|timer)_\d+")
_WORDS = {"while": "repeat_while", "wait": "wait_for"}
_LONGEST_CHAIN = 80

Values = dict[str, Any]


def workflow_values(workflow: Workflow, *, steps: bool = True, names: bool = False) -> Tall:
    """Return the values of a workflow's YAML form.

    Parameters
    ----------
    workflow
        What to write.
    steps
        Look for blocks; else nodes and flows.
    names
        Write the names as well that look as if reading gave them again.
    """
    return _Writer(steps=steps, names=names).workflow(workflow)


class _Writer:
    def __init__(self, *, steps: bool, names: bool) -> None:
        self.steps, self.names = steps, names

    def workflow(self, workflow: Workflow) -> Tall:
        record = workflow.to_record()
        values = Tall({"workflow": workflow.name, "version": workflow.version})
        values |= {key: record[key] for key in ("description", "inputs") if key in record}
        if "retry" in record:
            values["retry"] = _with_durations(record["retry"])
        if workflow.sla is not None:
            values["sla"] = _duration(seconds(workflow.sla))
        if workflow.triggers:
            values["triggers"] = TallList(_trigger(trigger) for trigger in workflow.triggers)
        values |= self.graph(workflow.nodes, workflow.flows, "")
        if workflow.alerts:
            values["alerts"] = TallList(_with_durations(item) for item in record["alerts"])
        if workflow.waive:
            values["waive"] = record["waive"]
        if workflow.workflows:
            values["workflows"] = [self.workflow(inner) for inner in workflow.workflows]
        return values

    def graph(self, nodes: Sequence[Node], flows: Sequence[Flow], scope: str) -> Values:
        """Return ``steps``, or ``nodes`` and ``flows``."""
        blocks = outline(nodes, flows, scope) if self.steps else None
        if blocks is not None:
            return {"steps": self.blocks(blocks)}
        values: Values = {"nodes": Tall((node.name, self.free(node)) for node in nodes)}
        if flows:
            values["flows"] = TallList(_chains(flows))
        return values

    # Nodes of a free graph -----------------------------------------------------

    def free(self, node: Node) -> object:
        kind = _WORDS.get(kind_of(node), kind_of(node))
        body = self.about(node)
        match node:
            case ForEach():
                body = {"items": node.items, **body}
            case While():
                body = {"condition": node.condition, **body}
            case Call():
                body = {"workflow": node.workflow, **body}
        if isinstance(node, Scope):
            return Tall({kind: Tall(body | self.graph(node.nodes, node.flows, node.name))})
        return {kind: body} if body else kind

    def about(self, node: Node) -> Values:
        """Return what a node says of itself, without its name, its graph and what its kind's key says."""
        values: Values = {"description": node.description} if node.description else {}
        match node:
            case Task():
                values |= _task(node)
            case Wait():
                values = _wait(node) | values
            case ForEach():
                if node.item != "item":
                    values["as"] = node.item
                loop = ("concurrency", "continue_when", "exit_when", "tolerated_failures")
                values |= {key: value for key, value in values_record(node).items() if key in loop}
            case While():
                values |= {key: value for key, value in values_record(node).items() if key == "max_iterations"}
            case Call() if node.inputs:
                values["inputs"] = values_record(node)["inputs"]
            case End():
                values |= {key: value for key, value in values_record(node).items() if key in ("terminate", "error")}
        if isinstance(node, Activity):
            values |= self.outcome(node)
        return values | ({"waive": dict(node.waive)} if node.waive else {})

    def outcome(self, node: Activity) -> Values:
        record = values_record(node)
        values = {key: record[key] for key in ("output",) if key in record}
        if node.timeout_s is not None:
            values["timeout"] = _duration(node.timeout_s)
        if "fallback" in record:
            values["fallback"] = record["fallback"]
        if isinstance(node.compensate, Task):
            about = self.about(node.compensate)
            only_name = not about and node.compensate.name != "none"
            values["compensate"] = node.compensate.name if only_name else {"task": node.compensate.name, **about}
        elif node.compensate is not None:
            values["compensate"] = node.compensate
        if node.alert is not None:
            values["alert"] = node.alert
        return values

    # Steps ---------------------------------------------------------------------

    def blocks(self, blocks: Iterable[Block]) -> list[Tall]:
        return [self.block(block) for block in blocks]

    def block(self, block: Block) -> Tall:
        match block:
            case Choice():
                branches = [self.branch(branch) for branch in block.branches]
                return Tall({**self.named(block.name), **_about(block), "choice": branches})
            case Parallel():
                arms = [self.arm(steps) for steps in block.branches]
                return Tall({**self.named(block.name), **_about(block), "parallel": arms})
            case Step():
                return self.step(block)

    def named(self, name: str) -> Values:
        return {} if _GENERATED.fullmatch(name) and not self.names else {"name": name}

    def branch(self, branch: Branch) -> Tall:
        steps = self.blocks(branch.steps)
        if branch.condition is None:
            return Tall(otherwise=steps)
        return Tall(when=branch.condition, steps=steps)

    def arm(self, steps: Sequence[Block]) -> Tall | list[Tall]:
        return self.block(steps[0]) if len(steps) == 1 else self.blocks(steps)

    def step(self, step: Step) -> Tall:
        node = step.node
        about = self.about(node) | self.paths(step)
        match node:
            case Task():
                return Tall({"task": node.name, **about})
            case Wait():
                own = {} if node.name == node.subject and node.kind is not WaitKind.TIMER else self.named(node.name)
                return Tall(wait_for={**own, **about} if _is_short(about) else Tall({**own, **about}))
            case Call():
                own = {} if node.name == node.workflow else {"name": node.name}
                return Tall({"call": node.workflow, **own, **about})
            case End():
                return Tall({"end": node.name, **about})
            case Scope():
                return self.scope(node, about)
            case _:  # a gateway or a start is never a step of an outline
                message = f"{node.name!r} cannot be written as a step."
                raise WorkflowError(message, node=node.name)

    def scope(self, node: Scope, about: Values) -> Tall:
        graph = self.graph(node.nodes, node.flows, node.name)
        match node:
            case ForEach():
                return Tall({"for_each": node.items, **self.named(node.name), **about, **graph})
            case While():
                return Tall({"repeat_while": node.condition, **self.named(node.name), **about, **graph})
            case _ if (own := self.named(node.name)) or "steps" not in graph:
                return Tall({kind_of(node): own.get("name"), **about, **graph})
            case _:
                return Tall({**about, kind_of(node): graph["steps"]})

    def paths(self, step: Step) -> Values:
        values: Values = {}
        if len(step.on_error) == 1 and step.on_error[0].condition is None:
            values["on_error"] = self.blocks(step.on_error[0].steps)
        elif step.on_error:
            values["on_error"] = [self.branch(branch) for branch in step.on_error]
        if step.on_timeout is not None:
            values["on_timeout"] = self.blocks(step.on_timeout)
        return values


def _about(block: Choice | Parallel) -> Values:
    values: Values = {"description": block.description} if block.description else {}
    return values | ({"waive": dict(block.waive)} if block.waive else {})


def _is_short(values: Values) -> bool:
    return not any(isinstance(value, list) and value for value in values.values())


def _task(node: Task) -> Values:
    record = values_record(node)
    settings = record.get("settings", {})
    values: Values = {}
    if node.executor in ("http", "queue"):
        values[node.executor] = settings
    elif node.executor != "python":
        values["executor"] = node.executor
        if settings:
            values["settings"] = settings
    elif settings:
        handler = settings.get("handler") if len(settings) == 1 else None
        is_python = settings.keys() <= {"handler", "arguments"}
        values["python" if is_python else "settings"] = handler or settings
    values |= {key: record[key] for key in ("role",) if key in record}
    if node.retry is not None:
        values["retry"] = _with_durations(record["retry"])
    for key in ("deadline_s", "heartbeat_s"):
        if key in record:
            values[key.removesuffix("_s")] = _duration(record[key])
    return values | {key: record[key] for key in ("retry_on", "fail_on", "idempotency_key") if key in record}


def _wait(node: Wait) -> Values:
    values: Values = {node.kind.value: node.subject}
    if node.kind is WaitKind.TIMER and node.duration_s is not None:
        values = {"timer": _duration(node.duration_s)}
    if node.match is not None:
        values["match"] = node.match
    return values


def _duration(duration_s: float) -> str | float:
    """Return a duration as people write it, where that is exact."""
    text = format_duration(duration_s)
    return text if seconds(text) == duration_s else duration_s


def _with_durations(record: Values) -> Values:
    return {
        key: _duration(value) if key in ("initial_delay", "max_delay", "window") else value
        for key, value in record.items()
    }


def _trigger(trigger: Trigger) -> object:
    return {trigger.kind: values_record(trigger)["settings"]} if trigger.settings else trigger.kind


# Flows ---------------------------------------------------------------------------


def _chains(flows: Iterable[Flow]) -> Iterable[str | Values]:
    """Yield flows as ``a -> b -> c``, ``{a -> b: condition}``, or where a name does not allow it in full."""
    chain = ""
    last = None
    for flow in flows:
        arrow = "->" if flow.kind is FlowKind.NORMAL else f"-{flow.kind.value}->"
        text = f"{flow.source} {arrow} {flow.target}"
        is_text = _reads_as(text, flow)
        if chain and is_text and flow.condition is None and flow.source == last:
            longer = f"{chain} {arrow} {flow.target}"
            if len(longer) <= _LONGEST_CHAIN:
                chain, last = longer, flow.target
                continue
        if chain:
            yield chain
        chain, last = "", None
        if not is_text:
            yield {key: str(value) for key, value in values_record(flow).items()}
        elif flow.condition is not None:
            yield {text: flow.condition}
        else:
            chain, last = text, flow.target
    if chain:
        yield chain


def _reads_as(text: str, flow: Flow) -> bool:
    try:
        (read,) = flows_of(text, flow.condition)
    except (WorkflowError, ValueError):
        return False
    return read == flow
