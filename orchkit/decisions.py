"""The questions that the machine asks about data, and their answers: from expressions, or from a history.

A simulation may answer with draws.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from orchkit.errors import ExpressionError
from orchkit.model.expressions import parse, render
from orchkit.model.nodes import Flow, ForEach, Gateway, GatewayKind, NodeBase, Wait, While
from orchkit.units import seconds

__all__ = ["Decide", "Question", "QuestionKind", "answer", "recorded"]


class QuestionKind(StrEnum):
    """What the machine wants to know."""

    SPLIT = "split"  # which of the flows are taken: a list of their positions
    ITEMS = "items"  # over which items does a for-each go: a list
    SKIP = "skip"  # is this item skipped: a Boolean
    EXIT = "exit"  # does the for-each stop here: a Boolean
    REPEAT = "repeat"  # does the while go on: a Boolean
    DELAY = "delay"  # how long does a timer take: seconds, or until when: an aware datetime
    TEXT = "text"  # what is this template's value


@dataclass(frozen=True, slots=True)
class Question:
    """A question about a node, over the variables at hand."""

    kind: QuestionKind
    node: NodeBase
    variables: Mapping[str, Any]
    flows: tuple[Flow, ...] = ()
    template: Any = None


Decide = Callable[[Question], Any]


def answer(question: Question) -> Any:  # noqa: ANN401 -- depends on the kind of question
    """Answer from the definition's expressions.

    Raises
    ------
    ExpressionError
        The expression has no value, or not one of the kind that is wanted.

    Examples
    --------
    >>> loop = While(name="again", condition="left > 0")
    >>> answer(Question(QuestionKind.REPEAT, loop, {"left": 2}))
    True
    """
    node, variables = question.node, question.variables
    match question.kind:
        case QuestionKind.SPLIT:
            return _split(question)
        case QuestionKind.ITEMS if isinstance(node, ForEach):
            return _items(node, variables)
        case QuestionKind.SKIP if isinstance(node, ForEach):
            return node.continue_when is not None and bool(parse(node.continue_when).evaluate(variables))
        case QuestionKind.EXIT if isinstance(node, ForEach):
            return node.exit_when is not None and bool(parse(node.exit_when).evaluate(variables))
        case QuestionKind.REPEAT if isinstance(node, While):
            return bool(parse(node.condition).evaluate(variables))
        case QuestionKind.DELAY if isinstance(node, Wait):
            return _delay(node, variables)
        case _:
            return render(question.template, variables)


def recorded(decisions: Iterable[Sequence[int] | None]) -> Decide:
    """Answer splits with what a history says was chosen, so that no expression is evaluated again.

    Parameters
    ----------
    decisions
        ``payload["decision"]`` of the records of kind ``gateway``, in order; None where the expression had no value.
        Once they are used up, expressions answer.

    Examples
    --------
    >>> split = Gateway(name="in_stock", kind=GatewayKind.EXCLUSIVE)
    >>> question = Question(QuestionKind.SPLIT, split, {"qty": 9}, (Flow("in_stock", "ship", "qty < 5"),))
    >>> decide = recorded([[0]])
    >>> decide(question), decide(question)
    ([0], [])
    """
    left = deque(decisions)

    def decide(question: Question) -> Any:  # noqa: ANN401 -- depends on the kind of question
        decision = left.popleft() if question.kind is QuestionKind.SPLIT and left else None
        return answer(question) if decision is None else list(decision)

    return decide


def _split(question: Question) -> list[int]:
    inclusive = not (isinstance(question.node, Gateway) and question.node.kind is GatewayKind.EXCLUSIVE)
    taken: list[int] = []
    default: list[int] = []
    for position, flow in enumerate(question.flows):
        if flow.condition is None:
            default = default or [position]
        elif parse(flow.condition).evaluate(question.variables):
            taken.append(position)
            if not inclusive:
                break
    return taken or default


def _items(node: ForEach, variables: Mapping[str, Any]) -> list[Any]:
    value = parse(node.items).evaluate(variables)
    if isinstance(value, list):
        return value
    if isinstance(value, Mapping):
        return [{"key": key, "value": item} for key, item in value.items()]
    message = f"for_each {node.name!r}: {node.items!r} gives {type(value).__name__}, where a list is expected."
    raise ExpressionError(message)


def _delay(node: Wait, variables: Mapping[str, Any]) -> float | datetime:
    if node.duration_s is not None:
        return node.duration_s
    value = parse(node.subject or "0").evaluate(variables)
    try:
        return seconds(value)
    except (ValueError, OverflowError):
        moment = _moment(value)
    if moment is None:
        message = (
            f"timer {node.name!r}: {node.subject!r} gives {value!r}, which is neither a duration nor a date "
            f"and time with its offset, such as '2027-01-31T09:00:00+00:00'."
        )
        raise ExpressionError(message)
    return moment


def _moment(value: object) -> datetime | None:
    try:
        moment = datetime.fromisoformat(str(value))
    except ValueError:
        return None
    return moment if moment.tzinfo else None
