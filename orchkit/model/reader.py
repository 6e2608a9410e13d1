"""The YAML form of a workflow: blocks and free graphs, read into the values of `orchkit.model.blocks`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from orchkit.errors import WorkflowError, WorkflowFileError, nearest
from orchkit.model import converters as to
from orchkit.model import patterns
from orchkit.model.blocks import Branch, Step
from orchkit.model.building import flows_of
from orchkit.model.definition import Workflow
from orchkit.model.nodes import Flow, Gateway, GatewayKind, Start

if TYPE_CHECKING:
    from orchkit.model.blocks import Block
    from orchkit.model.converters import Converter
    from orchkit.model.located import Located

__all__ = ["Find", "new_budget", "read_definition"]

# Gives the definition of a called workflow that the text does not hold, or None. The second argument: names of the
# workflows that are being read, outermost first.
Find = Callable[[str, tuple[str, ...]], Workflow | None]

_Made = TypeVar("_Made")
_MAX_DEFINITIONS = 1_000

_ABOUT: dict[str, Converter] = {"description": to.text, "waive": to.reasons}


def new_budget() -> list[int]:
    """Return how many definitions may be read for one workflow, whatever files they are in."""
    return [_MAX_DEFINITIONS]


def read_definition(at: Located, find: Find, chain: tuple[str, ...], budget: list[int]) -> Workflow:
    """Return the workflow of a located mapping; ``chain`` names those that are being read around it."""
    return _Reader(find, chain, {}, budget).read(at)


class _Reader:
    """Reads one definition.

    Parameters
    ----------
    find
        Gives a called definition that is not in the text.
    chain
        Names of the workflows around this one.
    visible
        Definitions embedded around this one, by name.
    budget
        How many definitions may still be read: calls of calls multiply.
    """

    def __init__(
        self,
        find: Find,
        chain: tuple[str, ...],
        visible: Mapping[str, Located],
        budget: list[int],
    ) -> None:
        self.find, self.chain, self.visible, self.budget = find, chain, dict(visible), budget
        self.places: dict[str, Located] = {}
        self.calls: dict[str, Located] = {}
        self.definition_at: Located | None = None
        outcome: dict[str, Converter] = {
            **_ABOUT,
            "output": to.name,
            "timeout": to.duration,
            "fallback": self.fallback,
            "compensate": self.compensation,
            "alert": to.name,
        }
        self.paths: dict[str, Converter] = {"on_error": self.on_error, "on_timeout": self.steps}
        inside: dict[str, Converter] = {"steps": self.steps, "nodes": self.nodes, "flows": self.flows}
        work: dict[str, Converter] = {
            "python": self.python,
            "http": to.templates,
            "queue": to.templates,
            "executor": to.name,
            "settings": to.templates,
            "role": to.name,
            "retry": to.retry,
            "deadline": to.duration,
            "heartbeat": to.duration,
            "retry_on": to.names,
            "fail_on": to.names,
            "idempotency_key": self.key,
        }
        loop: dict[str, Converter] = {
            "as": to.name,
            "concurrency": to.whole(1),
            "continue_when": to.expression,
            "exit_when": to.expression,
            "tolerated_failures": to.share,
        }
        self.tables: dict[str, dict[str, Converter]] = {
            "task": work | outcome,
            "wait_for": {"callback": to.name, "event": to.name, "timer": to.timer, "match": to.expression} | outcome,
            "scope": inside | outcome,
            "saga": inside | outcome,
            "for_each": loop | inside | outcome,
            "repeat_while": {"max_iterations": to.whole(1)} | inside | outcome,
            "call": {"inputs": to.templates} | outcome,
            "end": {"terminate": to.flag, "error": to.text} | _ABOUT,
        }
        self.blocks: dict[str, Callable[[Located], Block]] = {
            "task": lambda at: self.named(at, "task", patterns.task),
            "choice": self.choice,
            "parallel": self.parallel,
            "for_each": lambda at: self.loop(at, "for_each", patterns.for_each),
            "repeat_while": lambda at: self.loop(at, "repeat_while", patterns.repeat_while),
            "saga": lambda at: self.scope(at, "saga", patterns.saga),
            "scope": lambda at: self.scope(at, "scope", patterns.scope),
            "wait_for": self.wait_for,
            "call": self.call,
            "end": self.end,
        }

    # The workflow --------------------------------------------------------------

    def read(self, at: Located) -> Workflow:
        self.definition_at = at
        self.budget[0] -= 1
        if self.budget[0] < 0:
            at.fail(
                f"The workflows called by workflows are more than {_MAX_DEFINITIONS}, each counted where it is called."
            )
        if not isinstance(at.value, dict):
            at.fail(f"Expected a mapping that begins with 'workflow: <name>', not {at.describe()}.")
        if "workflow" not in at.value:
            at.fail("The key 'workflow' is missing: a definition begins with 'workflow: <name>'.")
        own = to.name(at.value["workflow"])
        if "nodes" in at.value and _are_records(at.value["nodes"]):
            return self.canonical(at)
        self.chain = (*self.chain, own)
        if "workflows" in at.value:
            definitions = to.items(at.value["workflows"], "definitions, each with 'workflow: <name>'")
            for item in definitions:
                if isinstance(item.value, dict) and "workflow" in item.value:
                    self.visible[to.name(item.value["workflow"])] = item
        table: dict[str, Converter] = {
            "workflow": to.name,
            "version": to.version,
            "description": to.text,
            "inputs": to.schemas,
            "retry": to.retry,
            "sla": to.duration,
            "triggers": lambda it: [to.trigger(item) for item in to.items(it, "triggers")],
            "alerts": lambda it: [to.alert(item) for item in to.items(it, "alerts")],
            "waive": to.reasons,
            "workflows": self.embedded,
            "steps": self.steps,
            "nodes": self.nodes,
            "flows": self.flows,
        }
        values = to.mapping(at, "a workflow", table)
        self.inside(at, values)
        definitions = values.pop("workflows", [])
        values["workflows"] = [*definitions, *self.called({item.name for item in definitions})]
        return self.make(at, patterns.workflow, values.pop("workflow"), **values)

    def canonical(self, at: Located) -> Workflow:
        """Return the workflow of a canonical form: ``nodes`` is a list of records."""
        try:
            return Workflow.from_record(at.plain())
        except WorkflowError as error:
            place = at if error.node is None else _record_of(at, error.node) or at
            place.fail(error.message, node=error.node)

    def embedded(self, at: Located) -> list[Workflow]:
        return [self.inner(item) for item in to.items(at, "definitions")]

    def inner(self, at: Located) -> Workflow:
        return _Reader(self.find, self.chain, self.visible, self.budget).read(at)

    def called(self, embedded: set[str]) -> list[Workflow]:
        """Return the definitions of the workflows called that are not embedded here."""
        found = []
        for name, at in self.calls.items():
            if name in embedded or name == self.chain[-1]:
                continue
            if name in self.chain:
                circle = " -> ".join((*self.chain[self.chain.index(name) :], name))
                at.fail(f"Workflows call each other in a circle: {circle}.")
            definition = self.inner(self.visible[name]) if name in self.visible else self.find(name, self.chain)
            if definition is not None:
                found.append(definition)
        return found

    def make(self, at: Located, build: Callable[..., _Made], *arguments: Any, **values: Any) -> _Made:  # noqa: ANN401
        """Call a builder; what it refuses is a fault of the file, at the node that it names."""
        try:
            return build(*arguments, **values)
        except WorkflowFileError:
            raise
        except WorkflowError as error:
            self.places.get(error.node or "", at).fail(error.message, node=error.node)

    # Graphs --------------------------------------------------------------------

    def steps(self, at: Located) -> list[Block]:
        if at.value is None:
            return []
        if isinstance(at.value, dict):
            return [self.block(at)]
        return [self.block(item) for item in to.items(at, f"steps ({', '.join(self.blocks)})")]

    def block(self, at: Located) -> Block:
        known = ", ".join(self.blocks)
        if not isinstance(at.value, dict):
            hint = f" Did you mean 'task: {at.value}'?" if isinstance(at.value, str) else ""
            at.fail(f"Expected a step, a mapping with one of {known}, not {at.describe()}.{hint}")
        words = [key for key in at.value if key in self.blocks]
        if not words:
            hint = next((hint for key in at.value if (hint := nearest(key, self.blocks))), "")
            at.fail(f"A step has one of {known}, and here is none of them.{hint}")
        if len(words) > 1:
            at.fail_at_key(words[1], f"A step has one of {known}, and here are two: {words[0]} and {words[1]}.")
        return self.blocks[words[0]](at)

    def inside(self, at: Located, values: dict[str, Any]) -> None:
        """Check that steps and a free graph are not mixed in one graph, and that flows lead somewhere."""
        if "steps" in values and ("nodes" in values or "flows" in values):
            at.fail_at_key("steps", "Give steps, or nodes and flows, not both: a scope can hold the other form.")
        if "flows" in values and "nodes" not in values:
            at.fail_at_key("flows", "Flows need nodes: a mapping of names to kinds, such as 'ship: task'.")
        if "nodes" not in values:
            return
        here = [step.node.name for step in values["nodes"]]
        flows = []
        for flow, place in values.get("flows", ()):
            for end in (flow.source, flow.target):
                if end not in here:
                    offset = place.value.find(end) if isinstance(place.value, str) else 0
                    place.fail(f"There is no node {end!r} in this graph.{nearest(end, here)}", offset=offset, node=end)
            flows.append(flow)
        values["flows"] = flows

    def nodes(self, at: Located) -> list[Step]:
        if not isinstance(at.value, dict):
            at.fail(f"Expected a mapping of names to kinds, such as 'ship: task', not {at.describe()}.")
        return [self.node(name, item, at) for name, item in at.value.items()]

    def node(self, name: str, at: Located, parent: Located) -> Step:
        """Return a node of a free graph: ``name: kind`` or ``name: {kind: {…}}``."""
        kinds = ["start", "end", "task", "wait_for", "scope", "for_each", "repeat_while", "saga", "call", *GatewayKind]
        kind, body = at.value, None
        if isinstance(kind, dict) and len(kind) == 1:
            ((kind, body),) = kind.items()
        if not isinstance(kind, str):
            at.fail(f"Expected a kind such as 'task', or a mapping of the kind to its settings, not {at.describe()}.")
        if kind not in kinds:
            at.fail(f"There is no kind {kind!r} of node.{nearest(kind, kinds)} Known: {', '.join(kinds)}.")
        if not name:
            parent.fail_at_key(name, "A node needs a name.")
        line, column = parent.keys[name]
        self.places[name] = _moved(at, line, column)
        values = (
            {} if body is None or body.value is None else to.mapping(body, f"{kind} {name!r}", self.free_table(kind))
        )
        return self.free(name, kind, values, body or at)

    def free_table(self, kind: str) -> Mapping[str, Converter]:
        more: dict[str, dict[str, Converter]] = {
            "for_each": {"items": to.expression},
            "repeat_while": {"condition": to.expression},
            "call": {"workflow": to.name},
        }
        return more.get(kind, {}) | self.tables.get(kind, _ABOUT)

    def free(self, name: str, kind: str, values: dict[str, Any], at: Located) -> Step:
        match kind:
            case "start":
                return Step(node=Start(name=name, **values))
            case "end":
                return patterns.end(name, **values)
            case "task":
                return self.make(at, patterns.task, name, **values)
            case "wait_for":
                return self.make(at, patterns.wait_for, name=name, **values)
            case "call":
                called = self.take(values, "workflow", at)
                self.calls.setdefault(called, at)
                return self.make(at, patterns.call, called, name=name, **values)
            case "for_each":
                return self.looped(at, patterns.for_each, self.take(values, "items", at), values | {"name": name})
            case "repeat_while":
                condition = self.take(values, "condition", at)
                return self.looped(at, patterns.repeat_while, condition, values | {"name": name})
            case "scope" | "saga":
                self.inside(at, values)
                build = patterns.saga if kind == "saga" else patterns.scope
                return self.make(at, build, name=name, **values)
            case _:
                return Step(node=Gateway(name=name, kind=GatewayKind(kind), **values))

    def take(self, values: dict[str, Any], key: str, at: Located) -> str:
        if key not in values:
            at.fail(f"The key {key!r} is missing.")
        return str(values.pop(key))

    def flows(self, at: Located) -> list[tuple[Flow, Located]]:
        found: list[tuple[Flow, Located]] = []
        for item in to.items(at, "flows such as 'a -> b'"):
            if isinstance(item.value, str):
                found.extend((flow, item) for flow in self.make(item, flows_of, item.value))
            elif isinstance(item.value, dict) and "source" in item.value:
                found.append((self.long_flow(item), item))
            elif isinstance(item.value, dict):
                for chain, condition in item.value.items():
                    place = _moved(item, *item.keys[chain], text=chain)
                    flows = self.make(place, flows_of, chain, to.expression(condition))
                    found.extend((flow, place) for flow in flows)
            else:
                item.fail(f"Expected a flow such as 'a -> b' or {{a -> b: condition}}, not {item.describe()}.")
        return found

    def long_flow(self, at: Located) -> Flow:
        table: dict[str, Converter] = {
            "source": to.name,
            "target": to.name,
            "condition": to.expression,
            "kind": to.flow_kind,
        }
        return Flow(**to.mapping(at, "a flow", table, required=("source", "target")))

    # Blocks --------------------------------------------------------------------

    def values(self, at: Located, word: str, *own: str, paths: bool = True) -> dict[str, Any]:
        """Return the values of a step's keys; those in ``own`` are left for the caller."""
        table = self.tables[word] | (self.paths if paths else {})
        if word != "task":
            table = {"name": to.name} | table
        return to.mapping(at, f"a step with {word}", dict.fromkeys(own, _leave) | table)

    def declare(self, name: str | None, at: Located) -> None:
        if name:
            self.places[name] = at

    def named(self, at: Located, word: str, build: Callable[..., Step], **more: Any) -> Step:  # noqa: ANN401
        name = to.name(at.value[word])
        self.declare(name, at.value[word])
        values = self.values(at, word, word)
        del values[word]
        return self.make(at, build, name, **values, **more)

    def scope(self, at: Located, word: str, build: Callable[..., Step]) -> Step:
        """``saga: [steps]``, or ``saga: name`` beside ``steps`` (or ``nodes`` and ``flows``)."""
        body = at.value[word]
        values = self.values(at, word, word)
        del values[word]
        if isinstance(body.value, str):
            values["name"] = to.name(body)
        elif body.value is not None:
            if "steps" in values or "nodes" in values:
                at.fail_at_key(word, f"Give the steps behind {word}:, or the name there and the steps beside it.")
            values["steps"] = self.steps(body)
        self.declare(values.get("name"), body)
        self.inside(at, values)
        return self.make(at, build, **values)

    def loop(self, at: Located, word: str, build: Callable[..., Step]) -> Step:
        expression = to.expression(at.value[word])
        values = self.values(at, word, word)
        del values[word]
        self.declare(values.get("name"), at)
        return self.looped(at, build, expression, values)

    def looped(self, at: Located, build: Callable[..., Step], expression: str, values: dict[str, Any]) -> Step:
        if "as" in values:
            values["item"] = values.pop("as")
        self.inside(at, values)
        return self.make(at, build, expression, **values)

    def call(self, at: Located) -> Step:
        called = to.name(at.value["call"])
        values = self.values(at, "call", "call")
        del values["call"]
        self.calls.setdefault(called, at.value["call"])
        self.declare(values.get("name", called), at.value["call"])
        return self.make(at, patterns.call, called, **values)

    def end(self, at: Located) -> Step:
        body = at.value["end"]
        values = self.values(at, "end", "end", paths=False)
        del values["end"]
        if body.value is not None:
            values["name"] = to.name(body)
        self.declare(values.get("name"), body)
        return patterns.end(**values)

    def wait_for(self, at: Located) -> Step:
        to.mapping(at, "a step with wait_for, whose own settings stand inside wait_for", {"wait_for": _leave})
        body = at.value["wait_for"]
        values = to.mapping(body, "wait_for", {"name": to.name} | self.tables["wait_for"] | self.paths)
        self.declare(values.get("name") or values.get("callback") or values.get("event"), body)
        return self.make(body, patterns.wait_for, **values)

    def choice(self, at: Located) -> Block:
        values = to.mapping(at, "a step with choice", {"choice": _leave, "name": to.name} | _ABOUT)
        branches = [self.branch(item) for item in to.items(values.pop("choice"), "branches (when, otherwise)")]
        self.declare(values.get("name"), at)
        return self.make(at, patterns.choice, *branches, **values)

    def branch(self, at: Located) -> Branch:
        """``{when: condition, steps: […]}``, ``{otherwise: […]}`` or ``{otherwise:, steps: […]}``."""
        table: dict[str, Converter] = {"when": to.expression, "otherwise": self.steps, "steps": self.steps}
        values = to.mapping(at, "a branch", table)
        if ("when" in values) == ("otherwise" in values):
            at.fail("A branch has one of when (a condition) and otherwise, and its steps.")
        if values.get("otherwise") and "steps" in values:
            at.fail_at_key("steps", "Give the steps behind otherwise: or behind steps:, not both.")
        steps = values.get("steps") or values.get("otherwise") or []
        if "when" in values:
            return self.make(at, patterns.when, values["when"], steps)
        return self.make(at, patterns.otherwise, steps)

    def parallel(self, at: Located) -> Block:
        values = to.mapping(at, "a step with parallel", {"parallel": _leave, "name": to.name} | _ABOUT)
        branches = [
            self.arm(item) for item in to.items(values.pop("parallel"), "branches, each a step or a list of steps")
        ]
        self.declare(values.get("name"), at)
        return self.make(at, patterns.parallel, *branches, **values)

    def arm(self, at: Located) -> list[Block]:
        if isinstance(at.value, dict) and list(at.value) == ["steps"]:
            return self.steps(at.value["steps"])
        return self.steps(at)

    # Values that hold tasks or steps ----------------------------------------------

    def on_error(self, at: Located) -> list[Block] | list[Branch]:
        if isinstance(at.value, list) and at.value and all(_is_branch(item) for item in at.value):
            return [self.branch(item) for item in at.value]
        return self.steps(at)

    def fallback(self, at: Located) -> Any:  # noqa: ANN401 -- a JSON value or a block
        return self.block(at) if isinstance(at.value, dict) and "task" in at.value else to.template(at)

    def compensation(self, at: Located) -> Step | str:
        if isinstance(at.value, dict) and "task" in at.value:
            block = self.block(at)
            assert isinstance(block, Step)  # noqa: S101 -- it has a task
            return block
        if not isinstance(at.value, str) or not at.value:
            at.fail(f"Expected {{task: name}}, the name of a task, or none, not {at.describe()}.")
        self.declare(at.value, at)
        return at.value

    def python(self, at: Located) -> str | dict[str, Any]:
        if isinstance(at.value, str):
            return to.name(at)
        return to.mapping(at, "python", {"handler": to.name, "arguments": to.templates})

    def key(self, at: Located) -> str:
        to.template(at)
        return to.text(at)


def _leave(at: Located) -> Located:
    return at


def _is_branch(at: Located) -> bool:
    return isinstance(at.value, dict) and bool({"when", "otherwise"} & at.value.keys())


def _moved(at: Located, line: int, column: int, text: str | None = None) -> Located:
    """Return a place to blame elsewhere."""
    return type(at)(text, at.path, line, column, verbatim=text is not None)


def _are_records(at: Located) -> bool:
    """Say whether nodes are written as in the canonical form: a list of mappings with a name each."""
    return isinstance(at.value, list) and all(
        isinstance(each.value, dict) and "name" in each.value for each in at.value
    )


def _record_of(at: Located, name: str) -> Located | None:
    """Return the record of a node in a canonical form."""
    match at.value:
        case dict():
            if "name" in at.value and at.value["name"].value == name:
                return at
            inner = list(at.value.values())
        case list():
            inner = at.value
        case _:
            return None
    return next((found for item in inner if (found := _record_of(item, name))), None)
