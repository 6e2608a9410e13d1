"""The table of semantics: small workflows, what happens to them, and the trace that must come out.

The table is the YAML files beside this one; each holds a list of cases. One case:

``case``
    What it shows, a sentence.
``workflow``
    The text of a workflow file without its first line. Where it sets no ``retry``, delays have no jitter.
``inputs``
    The first variables.
``outcomes``
    By task, what its attempts come to; without an entry: ``ok``. One outcome for all attempts, a list by attempt (the
    last one goes on for ever), or ``{visits: […]}`` with either for each visit, in the order in which visits begin.
    An outcome is a word (``ok``, ``transient``, ``permanent``, ``partial``, ``timeout``, ``never``) or a mapping with
    ``value`` (the result), or with ``error`` (its type), ``class``, ``message``, ``retry_after`` (seconds), and for
    both ``takes`` (seconds).
``takes``
    Seconds that attempts take, by task; 1 without an entry. Time is virtual, nothing else takes any, and no two things
    happen at the same moment in a case unless it says ``ties: true``.
``events``
    What comes from outside ``at`` a second: ``{callback: name, value: …}`` (or ``error``, ``class``),
    ``{event: name, value: …}``, ``{cancel: reason}``, ``{replay: {variable: value}, from_start: false}``,
    ``{discard: reason}``.
``status``, ``error``
    How the run ends, and the failure it ends with: its type, mostly with ``at`` and the node. A run that cannot go on
    by itself is in the status that it stays in.
``trace``
    What is recorded, in order, a line a moment (in an engine: a commit). See `phrase` for the words.
``variables``
    Those of the run at its end that are not null, and not as they came in.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from orchkit.events import Failure, Kind
from orchkit.model import Workflow, read_workflow
from orchkit.model.states import ErrorClass

HERE = Path(__file__).parent
NEVER = float("inf")

# The words of the table; the types are what an engine's handlers would raise.
_FAILURES = {
    "transient": Failure(ErrorClass.TRANSIENT, "TransientError", "try again"),
    "permanent": Failure(ErrorClass.PERMANENT, "PermanentError", "no"),
    "partial": Failure(ErrorClass.PARTIAL, "PartialError", "some failed"),
    "timeout": Failure(ErrorClass.TIMEOUT, "Timeout", "no outcome"),
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an attempt comes to: a result, or a failure; and how long it takes, in seconds."""

    takes: float
    value: Any = None
    failure: Failure | None = None


@dataclass(frozen=True, slots=True)
class Case:
    """One row of the table."""

    name: str
    source: str
    text: str
    inputs: Mapping[str, Any]
    outcomes: Mapping[str, Any]
    takes: Mapping[str, float]
    events: tuple[Mapping[str, Any], ...]
    ties: bool
    status: str
    error: str | None
    trace: tuple[str, ...]
    variables: Mapping[str, Any]

    @property
    def workflow(self) -> Workflow:
        return _workflow(self.text)

    def decides_after(self, moment: float) -> bool:
        """Return whether somebody decides about the ended run later."""
        return any(event["at"] > moment and {"replay", "discard"} & event.keys() for event in self.events)

    def outcome(self, task: str, visit: int, attempt: int) -> Outcome:
        """Return what an attempt comes to; ``visit`` and ``attempt`` count from 1."""
        script = self.outcomes.get(task, "ok")
        if isinstance(script, Mapping) and "visits" in script:
            script = _nth(script["visits"], visit)
        if isinstance(script, list):
            script = _nth(script, attempt)
        return _outcome(script, self.takes.get(task, 1.0))


def _nth(scripts: list[Any], number: int) -> Any:
    return scripts[min(number, len(scripts)) - 1]


def _outcome(script: Any, takes: float) -> Outcome:
    match script:
        case "ok":
            return Outcome(takes)
        case "never":
            return Outcome(NEVER)
        case str():
            return Outcome(takes, failure=_FAILURES[script])
        case {"error": kind, **more}:
            failure = Failure(
                ErrorClass(more.get("class", "permanent")),
                str(kind),
                more.get("message", ""),
                retry_after_s=more.get("retry_after", 0.0),
            )
            return Outcome(more.get("takes", takes), failure=failure)
        case {"class": name, **more}:
            return Outcome(more.get("takes", takes), failure=_FAILURES[name])
        case {**more} if more.keys() <= {"value", "takes"}:
            return Outcome(more.get("takes", takes), more.get("value"))
        case _:
            message = f"{script!r} is not an outcome"
            raise ValueError(message)


@cache
def _workflow(text: str) -> Workflow:
    retry = "" if "\nretry:" in f"\n{text}" else "retry: {jitter: 0}\n"
    return read_workflow(f"workflow: case\n{retry}{text}")


@lru_cache(maxsize=1)
def table() -> tuple[Case, ...]:
    """Return all cases."""
    yaml = YAML(typ="safe")
    return tuple(_case(record, path.stem) for path in sorted(HERE.glob("*.yaml")) for record in yaml.load(path))


def _case(record: dict[str, Any], source: str) -> Case:
    record = dict(record)
    case = Case(
        name=record.pop("case"),
        source=source,
        text=record.pop("workflow"),
        inputs=record.pop("inputs", {}),
        outcomes=record.pop("outcomes", {}),
        takes=record.pop("takes", {}),
        events=tuple(record.pop("events", ())),
        ties=record.pop("ties", False),
        status=record.pop("status"),
        error=record.pop("error", None),
        trace=tuple(record.pop("trace")),
        variables=record.pop("variables", {}),
    )
    if record:
        message = f"{case.name}: {', '.join(record)} mean nothing"
        raise ValueError(message)
    return case


@dataclass(frozen=True, slots=True)
class Row:
    """What the phrases are made of: a record of the machine, or a row of an engine's history."""

    kind: str
    status: str
    node: str | None
    step_id: str | None = None
    attempt: int = 1
    error_class: str | None = None
    payload: Mapping[str, Any] = field(default_factory=dict)


def phrases(rows: Iterable[Row]) -> list[str]:
    """Return the phrases of rows, in order; rows that the table leaves out give none."""
    passes: dict[str | None, int] = {}
    found = []
    for row in rows:
        if "pass" in row.payload:
            passes[row.step_id] = row.payload["pass"]
        text = phrase(row, passes.get(row.step_id))
        if text is not None:
            found.append(text)
    return found


def phrase(row: Row, position: int | None) -> str | None:
    """Return how the table says a row.

    ``ship RUNNING``, ``ship RUNNING 2`` (the second attempt), ``ship FAILED transient``, ``ship RETRYING 2s``,
    ``line[0] RUNNING`` (of the first item, or iteration), ``route -> a, b`` (a split takes these flows),
    ``ship COMPLETED by fallback``, ``trip TIMED OUT`` (a scope's or a call's timeout is over), ``CANCEL``,
    ``REPLAYED``, ``DISCARDED``. Left out: the rows of the run itself, and PENDING.
    """
    name = row.node if position is None or row.kind == Kind.CALLBACK else f"{row.node}[{position}]"
    match row.kind, row.status:
        case (Kind.RUN | Kind.CALLBACK, _) | (_, "PENDING"):
            return None
        case Kind.CANCEL, _:
            return "CANCEL"
        case Kind.DECISION, _:
            return row.status
        case Kind.TIMER, _:
            return f"{name} TIMED OUT"
        case Kind.GATEWAY, "FAILED":
            return f"{name} -> FAILED"
        case Kind.GATEWAY, _:
            return f"{name} -> {', '.join(row.payload['to']) or 'nothing'}"
        case _, "RUNNING" if row.attempt > 1:
            return f"{name} RUNNING {row.attempt}"
        case _, "RETRYING":
            return f"{name} RETRYING {row.payload['delay_s']:g}s"
        case _, "COMPLETED" if row.payload.get("fallback"):
            return f"{name} COMPLETED by fallback"
        case _, "FAILED":
            return f"{name} FAILED {row.error_class}"
        case _:
            return f"{name} {row.status}"
