"""A workflow as a game: the states that a run of it can be in, whatever its data, and what leads from one to another.

The rules are the machine's own: each move is a turn of `orchkit.machine`, played for every answer to its questions. A
state stands for all runs that go on alike: what they are called, how often they tried, what their variables hold is
left out. States are numbered, and each move is played once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from orchkit.analysis.answers import every_answer
from orchkit.analysis.moves import DONE, Asked, End, Failed, Move, Outcome, events_of, hides, is_ready, unseen_events_of
from orchkit.analysis.positions import Key, Open, Played, leaves_of, steps_of
from orchkit.analysis.skeleton import begins_a_pass, skeleton_of
from orchkit.analysis.tolerance import loop_without, narrowed
from orchkit.analysis.turns import Player, fails_at, in_place
from orchkit.decisions import Decide
from orchkit.events import CallbackReceived, CancelAsked, Event, Failure, ReplayAsked, StepCompleted, StepFailed
from orchkit.model.definition import Workflow
from orchkit.model.states import ErrorClass, RunStatus
from orchkit.run_state import Mode

__all__ = ["AT_ONCE", "Game"]

AT_ONCE = "at once"
"""What stands behind a state and a move where no pass has begun that has not."""


@dataclass(frozen=True, slots=True)
class Begin:
    """A pass of a loop begins, or the loop ends without it.

    Attributes
    ----------
    name
        Of the wait before it.
    state
        That this leads to.
    names
        Of the steps that open and leave a trace in the log, as often as there are passes that may begin so.
    inner
        Of the waits before passes inside.
    is_plain
        Nothing depends on it but what it opens: it is early enough when one of these ends.
    """

    name: str
    state: int
    names: tuple[str, ...]
    inner: frozenset[str]
    is_plain: bool


@dataclass(slots=True)
class Game:
    """The game of one workflow.

    Parameters
    ----------
    workflow
        The definition.
    seen
        Names that the log has: a wait that it never names passes unseen.
    within
        Whether the steps of called workflows stand in the log of the caller: then a call is played with its child, else
        it is one step.
    most_items
        How many items a for-each may have.
    replays
        Whether runs that have failed may go on: then what they left counts.
    may_fail
        Whether expressions may have no value, and scopes may take too long.
    one_by_one
        Whether each pass of a loop begins by a turn of its own.
    spend
        Called before each turn of the machine; may raise, to end a search that goes on for too long.
    """

    workflow: Workflow
    seen: frozenset[str]
    within: bool = False
    most_items: int = 50
    replays: bool = False
    may_fail: bool = True
    one_by_one: bool = True
    spend: Callable[[], None] = field(default=lambda: None)
    _ids: dict[object, int] = field(default_factory=dict)
    _runs: list[Played] = field(default_factory=list)
    _moves: dict[object, tuple[int, ...]] = field(default_factory=dict)
    _names: dict[int, tuple[str, ...]] = field(default_factory=dict)
    _giving_up: set[tuple[int, Move]] = field(default_factory=set)
    _beginning: dict[int, tuple[Begin, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.workflow = skeleton_of(self.workflow, self.most_items, one_by_one=self.one_by_one)
        self.most_items *= 2  # those that may begin are counted too

    @property
    def size(self) -> int:
        """How many states have been seen."""
        return len(self._runs)

    # Moves ---------------------------------------------------------------------

    def begin(self) -> tuple[int, ...]:
        """Return the states in which a run may begin."""
        return self._known(
            "begin", lambda: self._turns(lambda decide: Player(decide, self.within).started(self.workflow))
        )

    def after(self, state: int, name: str, outcome: Outcome = DONE) -> tuple[int, ...]:
        """Return the states that the end of a step of this name may lead to; none where no such step is open."""
        return self._known((state, (name, outcome)), lambda: self._cautious(state, (name, outcome)))

    def unseen(self, state: int) -> tuple[int, ...]:
        """Return the states to which a run may go on with nothing in the log to show for it.

        That a pass of a loop begins is not among them, unless more than its steps depends on it: `after` begins it
        when one of its steps ends.
        """
        return self._known((state, None), lambda: (*self.begun_early(state), *self._cautious(state, None)))

    def asked(self, state: int, what: Asked) -> tuple[int, ...]:
        """Return the states in which a run may be when somebody asked for this."""
        return self._known((state, what), lambda: self._cautious(state, what))

    def at_once(self, state: int, move: Move) -> tuple[int, ...]:
        """Return where a move leads to if no pass has begun that has not: `gives_up` tells whether that is all."""
        return self._known((state, move, AT_ONCE), lambda: self._at_once(state, move))

    def gives_up(self, state: int, move: Move) -> bool:
        """Whether a move lets passes go that have not begun: if they had, their steps might still end."""
        self.at_once(state, move)
        return (state, move) in self._giving_up

    def begun(self, state: int) -> Iterator[int]:
        """Yield the states in which one more pass has begun."""
        return (begin.state for begin in self._begins(state))

    def begun_early(self, state: int) -> Iterator[int]:
        """Yield those of them in which more than the steps of the pass depends on it."""
        return (begin.state for begin in self._begins(state) if not begin.is_plain)

    def within_reach(self, state: int) -> tuple[str, ...]:
        """Return the names of the steps that may end next: those that are open, and those of passes that may begin."""
        if not self._begins(state):
            return self.open_names(state)
        return (*self.open_names(state), *(name for _, names in self._begun(state) for name in names))

    def open_names(self, state: int) -> tuple[str, ...]:
        """Return the names of the steps that are open and leave a trace in the log, as often as they are open."""
        found = self._names.get(state)
        if found is None:
            steps = leaves_of(self._runs[state])
            found = tuple(sorted(each.step.node for each in steps if is_ready(each) and not hides(each, self.seen)))
            self._names[state] = found
        return found

    def ends(self, state: int, end: End) -> bool:
        """Return whether a case that came to this end may be in this state."""
        run = self._runs[state].state
        if end is End.OPEN:
            return True
        if end is End.COMPLETED:
            return run.finished is not None and run.finished.status is RunStatus.COMPLETED
        # Why a run failed is not always in the log, but what a failure brings about has to be.
        return run.finished is not None or all(each.mode is Mode.RUNNING for each in run.instances.values())

    def _known(self, key: object, find: Callable[[], Iterable[int]]) -> tuple[int, ...]:
        found = self._moves.get(key)
        if found is None:
            found = self._moves[key] = tuple(dict.fromkeys(find()))
        return found

    def _at_once(self, state: int, move: Move) -> Iterator[int]:
        match move:
            case (name, outcome):
                begun = [each for each, names in self._begun(state) if name in names] if self._begins(state) else []
                for origin in (state, *begun):
                    yield from self._watched(state, move, origin, self._after_open(origin, name, outcome))
            case None:
                yield from self._watched(state, move, state, self._unseen(state))
            case _:
                yield from self._watched(state, move, state, self._asked(state, move))

    def _watched(self, state: int, move: Move, origin: int, found: Iterable[int]) -> Iterator[int]:
        waiting = self._waiting(origin)
        for number in found:
            if waiting and waiting - self._waiting(number):
                self._giving_up.add((state, move))
            yield number

    def _after_open(self, state: int, name: str, outcome: Outcome) -> Iterator[int]:
        run = self._runs[state]
        for each in leaves_of(run):
            if each.step.node == name:
                if isinstance(outcome, Failed) and outcome.perhaps_again:
                    yield state
                for events in events_of(each, outcome):
                    yield from self._plays_at(run, each, events)

    def _unseen(self, state: int) -> Iterator[int]:
        run = self._runs[state]
        for each in steps_of(run):
            if not begins_a_pass(each.step.node):
                for events in self._unseen_events(each):
                    yield from self._plays_at(run, each, events)

    def _unseen_events(self, each: Open) -> Iterator[Sequence[Event]]:
        return unseen_events_of(each, self.seen, may_fail=self.may_fail)

    def _asked(self, state: int, what: Asked) -> Iterator[int]:
        run = self._runs[state]
        finished = run.state.finished
        if what is Asked.CANCEL:
            yield from self._plays(run, (), [CancelAsked()])
        elif finished is not None and finished.status is not RunStatus.COMPLETED:
            for from_start in (False, True):
                yield from self._plays(run, (), [ReplayAsked(from_start=from_start)])

    # Passes that begin ----------------------------------------------------------

    def _begins(self, state: int) -> tuple[Begin, ...]:
        """Return what comes of each pass that has not begun, when it does or never does."""
        found = self._beginning.get(state)
        if found is None:
            found = self._beginning[state] = tuple(self._found_begins(state))
        return found

    def _found_begins(self, state: int) -> Iterator[Begin]:
        run = self._runs[state]
        passes: dict[tuple[object, ...], list[Open]] = {}
        for each in leaves_of(run):
            if begins_a_pass(each.step.node):
                loop = each.run.state.instances[each.step.instance].parent
                passes.setdefault((*each.path, loop), []).append(each)
        for alike in passes.values():
            first, count = alike[0], len(alike)
            for number in dict.fromkeys(self._plays_at(run, first, [CallbackReceived(first.step.id)])):
                yield self._begin(state, first.step.node, number, count)
            ended = loop_without(first.run, alike)
            if ended is not None:
                events = [StepFailed(each.step.id, Failure(ErrorClass.PERMANENT)) for each in alike]
                for number in dict.fromkeys(self._plays(in_place(run, first.path, ended), first.path, events)):
                    begin = self._begin(state, first.step.node, number, 1)
                    # What ends the pass around it may be needed for the end of all.
                    yield replace(begin, is_plain=begin.is_plain and not begin.inner)

    def _begin(self, state: int, name: str, following: int, count: int) -> Begin:
        opened = self._leaves(following) - self._leaves(state)
        names = Counter(self.open_names(following)) - Counter(self.open_names(state))
        inner = frozenset(each for each in opened if begins_a_pass(each))
        is_plain = bool(opened) and opened.keys() == inner | names.keys()
        is_plain = is_plain and not self._restless(following) - self._restless(state)
        return Begin(name, following, tuple(names.elements()) * count, inner, is_plain)

    def _begun(self, state: int) -> Iterator[tuple[int, tuple[str, ...]]]:
        """Yield the states in which passes have begun, each inside of the one before, with the steps that opened."""
        todo = [begin for begin in self._begins(state) if begin.is_plain]
        while todo:
            begin = todo.pop()
            yield begin.state, begin.names
            todo += [inner for inner in self._begins(begin.state) if inner.is_plain and inner.name in begin.inner]

    def _cautious(self, state: int, move: Move) -> Iterator[int]:
        """Yield what a move leads to; where it gives up passes that have not begun, also as if they had."""
        seen, todo = {state}, [state]
        while todo:
            origin = todo.pop()
            yield from self.at_once(origin, move)
            fresh = set(self.begun(origin)) - seen if self.gives_up(origin, move) else set()
            seen |= fresh
            todo += fresh

    def _leaves(self, state: int) -> Counter[str]:
        return Counter(each.step.node for each in leaves_of(self._runs[state]))

    def _waiting(self, state: int) -> Counter[str]:
        return Counter({name: count for name, count in self._leaves(state).items() if begins_a_pass(name)})

    def _restless(self, state: int) -> Counter[str]:
        """Return the open steps that may go on unseen."""
        run = self._runs[state]
        return Counter(
            each.step.node
            for each in steps_of(run)
            if not begins_a_pass(each.step.node) and any(True for _ in self._unseen_events(each))
        )

    # Turns ---------------------------------------------------------------------

    def _plays(
        self, run: Played, path: tuple[str, ...], events: Sequence[Event], keep: Callable[[Played], bool] | None = None
    ) -> Iterator[int]:
        return self._turns(lambda decide: Player(decide, self.within).played(run, path, events), keep)

    def _plays_at(self, run: Played, each: Open, events: Sequence[Event]) -> Iterator[int]:
        """Play what may have happened to an open step, and as the failure that is too many for a loop around it."""
        yield from self._plays(run, each.path, events)
        fails = self.may_fail or any(not isinstance(event, StepCompleted | CallbackReceived) for event in events)
        for narrow, loop in narrowed(each.run, each.step, self.most_items) if fails else ():
            around = in_place(run, each.path, narrow)
            yield from self._plays(around, each.path, events, partial(fails_at, each.path, loop))

    def _turns(self, turn: Callable[[Decide], Played], keep: Callable[[Played], bool] | None = None) -> Iterator[int]:
        for run in every_answer(turn, self.most_items, may_fail=self.may_fail):
            self.spend()
            if keep is not None and not keep(run):
                continue
            key = Key(run, self.replays, self.most_items).of_run()
            number = self._ids.get(key)
            if number is None:
                number = self._ids[key] = len(self._runs)
                self._runs.append(run)
            yield number
