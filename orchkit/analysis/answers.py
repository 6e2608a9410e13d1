"""All that data could say: a turn of the machine is played once for each way to answer its questions.

A log does not hold the variables that a workflow decides on. So every decision that some data would lead to is open,
an expression without a value among them; what a turn can reach in fewer answers is not asked for again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import combinations, count
from typing import Any, TypeVar

from orchkit.decisions import Decide, Question, QuestionKind
from orchkit.errors import ExpressionError
from orchkit.model.nodes import FlowKind, ForEach, Gateway, GatewayKind

__all__ = ["GOES_ON", "GOES_ON_OR_FAILS", "MAY_FAIL", "NEVER_FAILS", "every_answer"]

T = TypeVar("T")

# A split that decides the same way this often in a turn goes in a circle in which nothing is done.
_CIRCLES = 8
_NUMBERS = count()

NEVER_FAILS, MAY_FAIL = "False", "0"
"""What stands for the conditions of a for-each, which are not evaluated: whether they may have no value."""

GOES_ON, GOES_ON_OR_FAILS = "None", "0.0"
"""The same for a loop whose end is not decided by its conditions."""


class _NothingNewError(Exception):
    """Another way of answering leads as far."""


@dataclass(frozen=True, slots=True)
class _Item:
    """An item of a for-each: which visit of the loop it belongs to, and its place."""

    loop: int
    place: int


def every_answer(turn: Callable[[Decide], T], most_items: int, *, may_fail: bool = True) -> Iterator[T]:
    """Yield what a turn gives, once for each way to answer what it asks.

    Parameters
    ----------
    turn
        Plays a turn with the answers of a `Decide`.
    most_items
        How many items a for-each may have.
    may_fail
        Whether an expression may have no value.
    """
    script: list[int] = []
    while True:
        reading = _Reading(script, most_items, may_fail)
        with suppress(_NothingNewError):
            yield turn(reading.decide)
        while script and script[-1] + 1 >= reading.widths[len(script) - 1]:
            script.pop()
        if not script:
            return
        script[-1] += 1


@dataclass(slots=True)
class _Reading:
    """One way through the questions: as the script says, then each time the first answer."""

    script: list[int]
    most_items: int
    may_fail: bool
    widths: list[int] = field(default_factory=list)
    decided: dict[object, Any] = field(default_factory=dict)
    asked: Counter[object] = field(default_factory=Counter)

    def pick(self, answers: Sequence[Any]) -> Any:  # noqa: ANN401 -- depends on the kind of question
        if not self.may_fail and len(answers) > 1:
            answers = [answer for answer in answers if answer is not _FAILS]
        if len(answers) == 1:
            return answers[0]
        place = len(self.widths)
        self.widths.append(len(answers))
        if place == len(self.script):
            self.script.append(0)
        return answers[self.script[place]]

    def decide(self, question: Question) -> Any:  # noqa: ANN401 -- depends on the kind of question
        node = question.node
        match question.kind:
            case QuestionKind.SPLIT:
                return self.split(question)
            case QuestionKind.ITEMS if isinstance(node, ForEach):
                size, loop = self.or_fail(question, [self.most_items, _FAILS]), next(_NUMBERS)
                return [_Item(loop, place) for place in range(size)]
            case QuestionKind.EXIT if isinstance(node, ForEach) and node.exit_when in (GOES_ON, GOES_ON_OR_FAILS):
                return self.or_fail(question, [False] if node.exit_when == GOES_ON else [False, _FAILS])
            case QuestionKind.EXIT if isinstance(node, ForEach):
                # A pass that ends at once leaves all as it was: no more begin than can be open at a time.
                visit = (QuestionKind.EXIT, question.variables[node.item].loop)
                return self.stops(question, visit, max(1, node.concurrency), fails=node.exit_when == MAY_FAIL)
            case QuestionKind.REPEAT:
                return not self.stops(question, (node.name, _pass_of(question)), 1, fails=True)
            case QuestionKind.SKIP:
                return False
            case QuestionKind.DELAY:
                return 0.0
            case _:
                uncertain = "${" in str(question.template) and getattr(node, "fallback", None) is question.template
                return self.or_fail(question, [None, _FAILS] if uncertain else [None])

    def stops(self, question: Question, loop: object, most: int, *, fails: bool) -> bool:
        answers = [*([False] if self.asked[loop] < most else []), True, *([_FAILS] if fails else [])]
        answer = bool(self.or_fail(question, answers))
        if not answer:
            self.asked[loop] += 1
            self.decided.clear()  # what a new pass decides, it decides anew
        return answer

    def split(self, question: Question) -> list[int]:
        """Decide a split, the same way each time that a token passes it: no variable changes in between."""
        key = (question.node.name, len(question.flows), _pass_of(question))
        if key not in self.decided:
            self.decided[key] = self.pick(_ways(question))
        self.asked[key] += 1
        if self.asked[key] > _CIRCLES:
            raise _NothingNewError
        return list(self.or_fail(question, [self.decided[key]]))

    def or_fail(self, question: Question, answers: Sequence[Any]) -> Any:  # noqa: ANN401 -- depends on the question
        answer = self.pick(answers)
        if answer is _FAILS:
            message = f"An expression of {question.node.name!r} has no value."
            raise ExpressionError(message)
        return answer


_FAILS = object()


def _pass_of(question: Question) -> frozenset[_Item]:
    return frozenset(value for value in question.variables.values() if isinstance(value, _Item))


def _ways(question: Question) -> list[Any]:
    """Return all decisions of a split: as an exclusive gateway decides, as an inclusive one, as an implicit split."""
    flows, node = question.flows, question.node
    optional = [place for place, flow in enumerate(flows) if flow.condition is not None]
    others = [place for place, flow in enumerate(flows) if flow.condition is None]
    fails: list[Any] = [_FAILS] if optional else []
    if isinstance(node, Gateway) and node.kind is not GatewayKind.INCLUSIVE:
        # Where no error flow's condition holds, the error climbs; of a gateway, that is a failure as any other.
        nothing: list[Any] = [[]] if flows[0].kind is FlowKind.ERROR and not others else []
        return [*([place] for place in range(len(flows))), *nothing, *fails]
    some = [list(way) for size in range(1, len(optional) + 1) for way in combinations(optional, size)]
    if isinstance(node, Gateway):
        return [*some, *([place] for place in others), *fails]
    return [*some, [], *fails]
