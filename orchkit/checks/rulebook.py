"""The rules of ``check``: one table, with what each rule finds and how to mend it.

Structure and data rules find what would go wrong in a run, readiness rules what a careful reviewer asks before a
workflow goes live. Any rule can be waived, with a reason, by a node, a scope (for all that is inside) or the workflow.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import pandas as pd

from orchkit.checks.report import Issue, Severity

__all__ = ["RULES", "Group", "Rule", "found", "rules"]

_ERROR, _WARNING, _INFO = Severity.ERROR, Severity.WARNING, Severity.INFO


class Group(StrEnum):
    """What a rule looks at."""

    STRUCTURE = "structure"
    DATA = "data"
    READINESS = "readiness"


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule.

    Attributes
    ----------
    name
        By which it is waived.
    group
        What it looks at.
    severity
        Of its issues.
    finds
        What it finds.
    hint
        How to mend it.
    """

    name: str
    group: Group
    severity: Severity
    finds: str
    hint: str


def _structure(name: str, severity: Severity, finds: str, hint: str) -> Rule:
    return Rule(name, Group.STRUCTURE, severity, finds, hint)


def _data(name: str, severity: Severity, finds: str, hint: str) -> Rule:
    return Rule(name, Group.DATA, severity, finds, hint)


def _ready(name: str, severity: Severity, finds: str, hint: str) -> Rule:
    return Rule(name, Group.READINESS, severity, finds, hint)


_TABLE = (
    _structure(
        "unsound",
        _ERROR,
        "Some way of deciding the splits leads to a deadlock, to two tokens on one flow, or to where no end can be "
        "reached. Conditions are not evaluated: all ways count.",
        "Make the join the same kind as its split.",
    ),
    _structure(
        "undecided",
        _WARNING,
        "Soundness could not be decided within the budget.",
        "Build it of blocks, or put parts of it into scopes.",
    ),
    _structure("empty", _WARNING, "A workflow or scope without nodes.", "Put a task into it."),
    _structure("no_start", _ERROR, "A graph in which nothing begins.", "Add a start, with a flow to the first task."),
    _structure("unreachable", _ERROR, "No way leads from a start to the node.", "Add a flow to it, or take it out."),
    _structure(
        "dead_end", _WARNING, "A path stops at a node that is not an end.", "Add a flow to the next node or to an end."
    ),
    _structure(
        "missing_default",
        _WARNING,
        "All flows of a split have conditions; where none holds, the run fails.",
        "Leave the condition of the last flow out (in blocks: otherwise).",
    ),
    _structure(
        "never_taken", _WARNING, "A flow that no token can take.", "Take the flow out, or change what comes before it."
    ),
    _structure(
        "condition_ignored",
        _WARNING,
        "A condition on a flow where none is evaluated.",
        "Take it out, or put an exclusive or inclusive gateway there.",
    ),
    _structure(
        "constant_condition",
        _WARNING,
        "A condition that reads no variable: it always holds, or never.",
        "Let it read a variable, or take it out.",
    ),
    _structure("one_way_gateway", _INFO, "A gateway that neither splits nor joins.", "Take it out."),
    _structure(
        "event_gateway",
        _WARNING,
        "An event-based gateway leads to something that does not wait.",
        "Let each of its flows lead to a wait (callback, event or timer).",
    ),
    _structure("duplicate_flow", _WARNING, "Two flows that are the same.", "Take one of them out."),
    _structure("similar_names", _WARNING, "Names that differ only in case or punctuation.", "Rename one of them."),
    _structure(
        "bad_trigger",
        _ERROR,
        "A trigger whose settings make no sense, or that reads what it does not see.",
        "See the kinds of triggers in docs/operate.md.",
    ),
    _structure(
        "unknown_trigger",
        _WARNING,
        "A trigger of a kind that orchkit does not know.",
        "Let it be schedule, event, queue or webhook, or start runs yourself.",
    ),
    _structure(
        "never_due",
        _WARNING,
        "A schedule by which no run is ever due.",
        "Look at its days and months, first and until.",
    ),
    _structure(
        "trigger_inputs",
        _ERROR,
        "A trigger gives an input that the workflow does not have, or leaves out one that it requires.",
        "Map each input of the workflow in the trigger's inputs, or give it a default.",
    ),
    _structure("unknown_alert", _ERROR, "A node names an alert that the workflow does not have.", "Add it to alerts."),
    _structure("duplicate_alert", _WARNING, "Two alerts with one name.", "Rename one of them."),
    _structure(
        "unknown_executor",
        _WARNING,
        "An executor that orchkit does not have.",
        "Give it to the engine: Engine(executors={…}).",
    ),
    _structure(
        "unknown_workflow",
        _ERROR,
        "A call of a workflow whose definition is not there.",
        "Add the definition to workflows.",
    ),
    _structure("unused_workflow", _INFO, "A definition that no call names.", "Call it, or take it out."),
    _structure("called_workflow", _ERROR, "A workflow that is called has errors.", "Check that workflow and mend it."),
    _structure(
        "unknown_handler", _ERROR, "A Python task without handler, among those given.", "Add it, or name another one."
    ),
    _structure(
        "bad_setting", _ERROR, "A setting that the executor or node cannot use.", "See the executor's settings."
    ),
    _structure("bad_value", _ERROR, "A field with a value of another type.", "See the field's documentation."),
    _structure(
        "time_limits",
        _WARNING,
        "Limits of time that do not fit each other: a timeout longer than what is around it cannot take effect.",
        "Order them: heartbeat, timeout, deadline, timeout of the scope, sla.",
    ),
    _structure(
        "timeout_path",
        _WARNING,
        "A path for the timeout of a node that has none.",
        "Give the node a timeout.",
    ),
    _structure(
        "idle_compensation",
        _WARNING,
        "A compensation outside of any saga: nothing ever calls it.",
        "Put the task into a saga.",
    ),
    _structure(
        "waiver",
        _WARNING,
        "A waiver of a rule that does not exist, or without a reason.",
        "Write the rule's name and why it does not apply here.",
    ),
    _data("bad_expression", _ERROR, "A text that is not an expression.", "See the expression language."),
    _data(
        "unknown_variable",
        _ERROR,
        "An expression reads what nothing before it sets.",
        "Correct the name, or let a task before it set the variable.",
    ),
    _data(
        "unset_variable",
        _WARNING,
        "An expression reads what is set only on some of the ways that lead there.",
        "Set it on all ways, or read it with a default: get(value, key, default).",
    ),
    _data(
        "undeclared_input",
        _WARNING,
        "A variable that nothing sets, in a workflow that declares no inputs.",
        "Declare it under inputs, so that it is checked when a run starts.",
    ),
    _data(
        "call_inputs",
        _ERROR,
        "A call without a required input, or with an unknown one.",
        "See the inputs of the called workflow.",
    ),
    _data("bad_schema", _ERROR, "An input's schema is not JSON Schema.", "See json-schema.org, draft 2020-12."),
    _data(
        "unused_output",
        _INFO,
        "A result that was given a name, and that nothing reads.",
        "Read it, or take the name out.",
    ),
    _data(
        "racing_output",
        _WARNING,
        "Two nodes that run at the same time set the same variable: the last one wins.",
        "Give each an output of its own.",
    ),
    _data(
        "variable_name",
        _WARNING,
        "The name of a variable that expressions cannot read, or that hides another.",
        "Use letters, digits and underscores, and no name of the language.",
    ),
    _ready(
        "errors_handled",
        _WARNING,
        "A task whose failure ends the run: no error path, no fallback, no saga or scope that deals with it.",
        "Add on_error or a fallback, or waive it and say who looks after the dead letters.",
    ),
    _ready(
        "compensation",
        _WARNING,
        "A step of a saga that nothing undoes.",
        "Add compensate: a task, or none where there is nothing to undo.",
    ),
    _ready(
        "retry_policy",
        _WARNING,
        "A retry policy that does not fit its executor or its deadline.",
        "Over a network: a few attempts, with a delay between them, within the deadline.",
    ),
    _ready("timeout", _WARNING, "A task or wait that may last for ever.", "Give it a timeout."),
    _ready(
        "idempotency",
        _WARNING,
        "A step that writes, whose idempotency key does not tell one effect from another.",
        "Leave the key out (one is made for each step), or let it read what the effect is about.",
    ),
    _ready("alert", _WARNING, "A task that no alert watches.", "Name one of the workflow's alerts."),
    _ready("description", _INFO, "A workflow or task that does not say what it is for.", "Add a description."),
    _ready(
        "business_logic",
        _WARNING,
        "An expression that computes: the workflow should only route.",
        "Compute it in a task, and read the result.",
    ),
    _ready(
        "coupling",
        _WARNING,
        "An address in the workflow: each environment has its own.",
        "Write ${systems.name}, and give the engine systems={'name': …}.",
    ),
    _ready(
        "literal_secret",
        _ERROR,
        "A secret in the workflow: it reaches files, logs and the history.",
        "Write ${secrets.name}, and give the engine secrets={'name': …}.",
    ),
)

RULES = {rule.name: rule for rule in _TABLE}


def found(rule: str, node: str, message: str, hint: str | None = None) -> Issue:
    """Return an issue of a rule, with the rule's severity and, unless there is a better one, its hint."""
    known = RULES[rule]
    return Issue(rule, known.severity, node, message, known.hint if hint is None else hint)


def rules() -> pd.DataFrame:
    """Return the rules that `check` knows, a row each: ``rule, group, severity, finds, hint``.

    Examples
    --------
    >>> list(rules().set_index("rule").loc["timeout"])
    ['readiness', 'warning', 'A task or wait that may last for ever.', 'Give it a timeout.']
    """
    columns = ["rule", "group", "severity", "finds", "hint"]
    rows = [[rule.name, rule.group.value, rule.severity.value, rule.finds, rule.hint] for rule in _TABLE]
    return pd.DataFrame(rows, columns=columns, dtype="str")
