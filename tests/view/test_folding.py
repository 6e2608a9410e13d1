"""Large workflows are folded until they fit."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from orchkit.model.definition import Workflow
from orchkit.model.nodes import End, Flow, FlowKind, ForEach, Scope, Start, Task
from orchkit.view.build import build
from orchkit.view.folding import fold


def tasks(*names: str) -> tuple[Task, ...]:
    return tuple(Task(name=name) for name in names)


def row(*names: str) -> tuple[Flow, ...]:
    return tuple(Flow(source, target) for source, target in pairwise(names))


def shown(workflow: Workflow, max_nodes: int) -> list[str]:
    return [shape.node for shape in build(workflow, fold(workflow, max_nodes, None), {}, "LR").shapes() if shape.node]


def test_what_fits_is_not_folded():
    workflow = Workflow("w", nodes=(Scope(name="s", nodes=tasks("a", "b")), *tasks("c")))
    folding = fold(workflow, 4, None)
    assert folding.scopes == frozenset()
    assert folding.sets == ()


def test_innermost_scopes_go_first():
    inner = ForEach(name="inner", items="x", nodes=tasks("a", "b"))
    workflow = Workflow("w", nodes=(Scope(name="outer", nodes=(inner, *tasks("c"))), *tasks("d")))
    assert fold(workflow, 5, None).scopes == {"inner"}
    assert fold(workflow, 3, None).scopes == {"inner", "outer"}


def test_nothing_is_folded_against_the_users_will():
    names = [f"t{number}" for number in range(100)]
    workflow = Workflow("w", nodes=tasks(*names), flows=row(*names))
    assert fold(workflow, 10, collapse=False).sets == ()


def test_a_chain_keeps_its_ends_and_what_branches():
    names = [f"t{number}" for number in range(20)]
    flows = (*row(*names), Flow("t10", "rescue", kind=FlowKind.ERROR))
    workflow = Workflow("w", nodes=tasks(*names, "rescue"), flows=flows)
    before, behind = tuple(names[2:9]), tuple(names[12:18])
    assert fold(workflow, 15, None).sets == (before,)
    assert fold(workflow, 10, None).sets == (before, behind)


def test_what_is_far_from_the_start_goes_last_and_ends_stay():
    names = [f"t{number}" for number in range(50)]
    nodes = (Start(name="start"), *tasks(*names), End(name="end"))
    flows = tuple(flow for name in names for flow in (Flow("start", name), Flow(name, "end")))
    drawn = shown(Workflow("w", nodes=nodes, flows=flows), 10)
    assert len(drawn) == 10
    assert {"start", "t0", "end"} <= set(drawn)


@settings(max_examples=60, deadline=None)
@given(
    size=st.integers(10, 60),
    edges=st.lists(st.tuples(st.integers(0, 59), st.integers(0, 59)), max_size=120),
    max_nodes=st.integers(8, 40),
)
def test_any_graph_fits_and_every_node_has_a_place(size, edges, max_nodes):
    names = [f"t{number}" for number in range(size)]
    pairs = {(a % size, b % size) for a, b in edges}
    workflow = Workflow("w", nodes=tasks(*names), flows=tuple(Flow(names[a], names[b]) for a, b in sorted(pairs)))
    folding = fold(workflow, max_nodes, None)
    folded = [name for members in folding.sets for name in members]
    assert len(folded) == len(set(folded))
    assert len(shown(workflow, max_nodes)) <= max(max_nodes, size - len(folded) + len(folding.sets))
    assert size - len(folded) + len(folding.sets) <= max_nodes
