"""Soundness: the same answer as brute force, the shortest trace, and the right ones to blame."""

from __future__ import annotations

from random import Random

import pytest

import orchkit as ok
from orchkit.checks.soundness import Verdict, soundness_of_graph
from orchkit.model import End, Flow, FlowKind, Scope, Workflow
from orchkit.model.nodes import Activity
from tests.checks.graphs import Graph, TooManyMarkings, blocks, brute_force, spoiled, wild
from tests.checks.shorthand import graph

# Parallel in one way of a choice, parallel in the other, the branches crossed over: sound, and not built of blocks.
CROSSED = graph(
    "start s? p+ q+ a b c d m? n? j+ end",
    "start s? p+ a m? j+ end",
    "p+ b n? j+",
    "s? q+ c m?",
    "q+ d n?",
)


def completions(nodes, trace):
    """Count the activities in a trace, which end one after another."""
    names = {node.name for node in nodes if isinstance(node, Activity)}
    return sum(step.partition(" -> ")[0] in names for step in trace)


# Against brute force -------------------------------------------------------------


def compare(make, seeds):
    """Compare with brute force; return how many graphs were sound, and how many were not."""
    counts = {True: 0, False: 0}
    for seed in seeds:
        made: Graph = make(Random(seed))
        try:
            truth = brute_force(made)
        except TooManyMarkings:
            continue
        answer = soundness_of_graph(made.nodes, made.flows)
        assert bool(answer) is truth.sound, f"{make.__name__}({seed}): {answer}"
        if truth.steps is not None:
            assert completions(made.nodes, answer.trace) == truth.steps, f"{make.__name__}({seed}): {answer}"
        counts[truth.sound] += 1
    return counts


@pytest.mark.parametrize("make", [blocks, spoiled, wild])
def test_it_agrees_with_brute_force_on_random_graphs(make):
    counts = compare(make, range(400))
    assert sum(counts.values()) >= 350
    assert counts[make is blocks] >= 190


@pytest.mark.slow
@pytest.mark.parametrize("make", [blocks, spoiled, wild])
def test_it_agrees_with_brute_force_on_many_random_graphs(make):
    compare(make, range(1_000, 6_000))


# Who is to blame -----------------------------------------------------------------

UNSOUND = {
    "a parallel join behind an exclusive split": (
        graph("start s? a b j+ end", "start s? a j+ end", "s? b j+"),
        ("s?", "j+", "j+"),
        ("start", "s? -> a", "a"),
        "Deadlock: 'j+' has a token from 'a' and waits for one from 'b' that cannot come. 's?' sent it another way.",
    ),
    "an exclusive join behind a parallel split": (
        graph("start s+ a b j? c end", "start s+ a j? c end", "s+ b j?"),
        ("s+", "j?", "c"),
        ("start", "a", "b"),
        (
            "A second token reaches 'c' while it still has the first one: 's+' sends several, and 'j?' does not bring "
            "them together."
        ),
    ),
    "a parallel join behind an inclusive split": (
        graph("start s~ a b j+ end", "start s~", "s~ a: a", "s~ b: b", "a j+ end", "b j+"),
        ("s~", "j+", "j+"),
        ("start", "s~ -> a", "a"),
        "Deadlock: 'j+' has a token from 'a' and waits for one from 'b' that cannot come. 's~' sent it another way.",
    ),
    "a parallel join behind an event-based gateway": (
        graph("start e* wait_1 wait_2 j+ end", "start e* wait_1 j+ end", "e* wait_2 j+"),
        ("e*", "j+", "j+"),
        ("start", "wait_1"),
        (
            "Deadlock: 'j+' has a token from 'wait_1' and waits for one from 'wait_2' that cannot come. "
            "'e*' sent it another way."
        ),
    ),
    "a way out of a parallel branch": (
        graph("start s+ a b x? c d j+ k? end", "start s+ a x? c j+ k? end", "s+ b j+", "x? d k?"),
        ("x?", "j+", "j+"),
        ("start", "a", "x? -> d", "b", "d"),
        "Deadlock: 'j+' has a token from 'b' and waits for one from 'c' that cannot come. 'x?' sent it another way.",
    ),
    "an error path out of a parallel branch": (
        graph("start s+ a b c j+ end", "start s+ a j+ end", "s+ b j+", Flow("b", "c", kind=FlowKind.ERROR), "c end"),
        ("b", "j+", "j+"),
        ("start", "a", "b -> c", "c"),
        "Deadlock: 'j+' has a token from 'a' and waits for one from 'b' that cannot come. 'b' sent it another way.",
    ),
    "a jump back out of a parallel branch": (
        graph("start m? a s+ x? b j+ end", "start m? a s+ x? j+ end", "x? m?", "s+ b j+"),
        ("s+", "m?", "b"),
        ("start", "a", "x? -> m?", "a", "x? -> j+"),
        (
            "A second token reaches 'b' while it still has the first one: 's+' sends several, and 'm?' does not bring "
            "them together."
        ),
    ),
    "a loop without a way out": (
        graph("start a x? b n? end", "start a x? end", "x? n?", "n? b n?"),
        ("x?", None, "b"),
        ("start", "a", "x? -> n?"),
        "No end can be reached any more from 'b'.",
    ),
    "a circle of gateways": (
        graph("start m? x? end", "start m? x? end", "x? m?"),
        ("x?", None, "x?"),
        ("start", "x? -> m?"),
        "Livelock: the gateways around 'x?' send a token in a circle that takes no time and has no end.",
    ),
    "a fault far from the start": (
        graph("start a m? b s? c d j+ end", "start a m? b s? c j+ end", "s? d j+", "s? m?"),
        ("s?", "j+", "j+"),
        ("start", "a", "b", "s? -> c", "c"),
        "Deadlock: 'j+' has a token from 'c' and waits for one from 'd' that cannot come. 's?' sent it another way.",
    ),
    "a join that waits for what it starts itself": (
        graph("start a j+ c end", "start a j+ c j+", "c end"),
        (None, "j+", "j+"),
        ("start", "a"),
        "Deadlock: 'j+' has a token from 'a' and waits for one from 'c' that cannot come.",
    ),
}


@pytest.mark.parametrize("name", UNSOUND)
def test_it_names_the_split_the_join_and_the_shortest_trace(name):
    workflow, blamed, trace, reason = UNSOUND[name]
    answer = ok.soundness(workflow)
    assert answer.verdict is Verdict.UNSOUND
    assert (answer.split, answer.join, answer.node) == blamed
    assert answer.trace == trace
    assert answer.reason == reason


SOUND = {
    "crossed branches": CROSSED,
    "a loop in a parallel branch": graph("start s+ m? a x? b j+ end", "start s+ m? a x? j+ end", "x? m?", "s+ b j+"),
    "a loop with work on the way back": graph("start m? a x? b end", "start m? a x? end", "x? b m?"),
    "a loop around another": graph("start m? n? a x? y? end", "start m? n? a x? y? end", "x? n?", "y? m?"),
    "inclusive split and join": graph("start s~ a b j~ end", "start s~", "s~ a: a", "s~ b: b", "a j~ end", "b j~"),
    "inclusive join of parallel branches": graph("start s+ a b j~ end", "start s+ a j~ end", "s+ b j~"),
    "inclusive join of a choice": graph("start s? a b j~ end", "start s? a j~ end", "s? b j~"),
    "inclusive join around a loop": graph("start s+ m? a x? b j~ end", "start s+ m? a x? j~ end", "x? m?", "s+ b j~"),
    "waits that compete": graph("start e* wait_1 wait_2 j? end", "start e* wait_1 j? end", "e* wait_2 j?"),
    "waits that compete in a parallel branch": graph(
        "start s+ e* wait_1 wait_2 m? a j+ end", "start s+ e* wait_1 m? j+ end", "e* wait_2 m?", "s+ a j+"
    ),
    "several ends": graph("start s+ a b end_1 end_2", "start s+ a end_1", "s+ b end_2"),
    "an end that ends all": graph(
        ["start", "s+", "a", "b", End(name="stop", terminate=True), "end_1"], "start s+ a stop", "s+ b end_1"
    ),
    "an error path that joins again": graph(
        "start a b m? end", "start a m? end", Flow("a", "b", kind=FlowKind.ERROR), "b m?"
    ),
}


@pytest.mark.parametrize("name", SOUND)
def test_what_is_sound_is_told_to_be(name):
    answer = ok.soundness(SOUND[name])
    assert answer.verdict is Verdict.SOUND, str(answer)
    assert answer
    assert str(answer) == "sound"


# Budget, scopes, corners ---------------------------------------------------------


def test_under_a_small_budget_the_answer_is_undecided_with_the_reason():
    answer = ok.soundness(CROSSED, budget=5)
    assert answer.verdict is Verdict.UNDECIDED
    assert not answer
    assert answer.reason == "The graph does not consist of blocks, and more than 5 states of its tokens are possible."
    assert answer.trace == ()
    assert ok.soundness(CROSSED, budget=50)


def test_blocks_are_decided_without_any_budget():
    wide = ok.parallel(*([ok.task(f"t{number}"), ok.task(f"u{number}")] for number in range(30)))
    loop = ok.repeat_while("more", [ok.choice(ok.when("a", ok.task("x")), ok.otherwise(wide))])
    assert ok.soundness(ok.workflow("w", [loop]), budget=0)


def test_a_fault_in_a_large_parallel_block_is_found_in_a_small_budget():
    names = [f"t{number}" for number in range(20)]
    wide = graph(
        f"start s+ {' '.join(names)} j+ x? a b k+ end",
        "start s+",
        *(f"s+ {name} j+" for name in names),
        "j+ x? a k+ end",
        "x? b k+",
    )
    answer = ok.soundness(wide, budget=100)
    assert (answer.verdict, answer.split, answer.join) == (Verdict.UNSOUND, "x?", "k+")
    assert answer.trace == ("start", *names, "x? -> a", "a")


def inner():
    """Return a scope with a fault in it."""
    faulty = graph("start_in t? x y k+ end_in", "start_in t? x k+ end_in", "t? y k+")
    return Scope(name="inner", nodes=faulty.nodes, flows=faulty.flows)


def test_the_scope_with_the_fault_is_named():
    answer = ok.soundness(graph(["start", inner(), "end"], "start inner end"))
    assert answer.scope == "inner"
    assert answer.trace == ("start_in", "t? -> x", "x")


def test_unsound_comes_before_undecided():
    flows = [flow for flow in CROSSED.flows if flow.target != "end"]
    both = graph([*CROSSED.nodes, inner()], *flows, "j+ inner end")
    answer = ok.soundness(both, budget=5)
    assert (answer.verdict, answer.scope) == (Verdict.UNSOUND, "inner")


def test_a_graph_in_which_nothing_begins_is_unsound():
    answer = ok.soundness(graph("a b", "a b a"))
    assert (answer.verdict, answer.reason) == (Verdict.UNSOUND, "Nothing begins: the graph has no start.")


def test_a_node_that_can_never_begin_is_named():
    answer = ok.soundness(graph("start a b end", "start a end", "b end"))
    assert (answer.verdict, answer.reason) == (Verdict.UNSOUND, "Can never begin: 'b'.")


def test_an_empty_workflow_is_sound():
    assert ok.soundness(Workflow("nothing"))
