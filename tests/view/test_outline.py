"""Workflows as text."""

from __future__ import annotations

from itertools import pairwise

from orchkit.model.definition import Workflow
from orchkit.model.nodes import End, Flow, FlowKind, Gateway, GatewayKind, Saga, Start, Task
from orchkit.view.outline import outline


def test_branches_are_indented_and_what_follows_the_join_is_not():
    nodes = (
        Start(name="start"),
        Gateway(name="choice_1", kind=GatewayKind.EXCLUSIVE),
        Task(name="domestic"),
        Task(name="international", role="clerk"),
        Gateway(name="choice_1_end", kind=GatewayKind.EXCLUSIVE),
        Task(name="bill"),
        End(name="end"),
    )
    flows = (
        Flow("start", "choice_1"),
        Flow("choice_1", "domestic", 'country == "US"'),
        Flow("choice_1", "international"),
        Flow("domestic", "choice_1_end"),
        Flow("international", "choice_1_end"),
        Flow("choice_1_end", "bill"),
        Flow("bill", "end"),
    )
    assert outline(Workflow("routing", nodes=nodes, flows=flows, version="3"), {}) == (
        "routing, version 3\n"
        "  choice_1: exclusive gateway\n"
        '    when country == "US":\n'
        "      domestic: python task\n"
        "    otherwise:\n"
        "      international: python task for clerk\n"
        "  bill: python task"
    )


def test_a_jump_back_is_an_arrow():
    nodes = (
        Task(name="check"),
        Gateway(name="in_stock", kind=GatewayKind.EXCLUSIVE),
        Task(name="reorder"),
        Task(name="ship"),
    )
    flows = (
        Flow("check", "in_stock"),
        Flow("in_stock", "ship", "qty <= stock"),
        Flow("in_stock", "reorder"),
        Flow("reorder", "check"),
    )
    assert outline(Workflow("stock", nodes=nodes, flows=flows), {}) == (
        "stock, version 1\n"
        "  check: python task\n"
        "  in_stock: exclusive gateway\n"
        "    when qty <= stock:\n"
        "      ship: python task\n"
        "    otherwise:\n"
        "      reorder: python task\n"
        "      → check"
    )


def test_error_paths_compensations_scopes_and_statuses_are_told():
    saga = Saga(name="booking", nodes=(Task(name="book", compensate=Task(name="cancel")),))
    nodes = (saga, Task(name="bill"), Task(name="apologize"))
    flows = (
        Flow("booking", "bill"),
        Flow("booking", "apologize", kind=FlowKind.ERROR),
        Flow("bill", "apologize", kind=FlowKind.TIMEOUT),
    )
    statuses = {"book": {"COMPLETED": 2}, "booking": "COMPENSATED"}
    assert outline(Workflow("trip", nodes=nodes, flows=flows), statuses) == (
        "trip, version 1\n"
        "  booking: saga: undoes its steps when one fails [« compensated]\n"
        "    book: python task, undone by cancel [✓ 2 completed]\n"
        "    ⚡ on error → apologize\n"
        "  bill: python task\n"
        "    ◷ on timeout:\n"
        "      apologize: python task"
    )


def test_a_loop_without_an_entry_and_deep_branches_end():
    names = [f"g{number}" for number in range(100)]
    nodes = (*(Gateway(name=name, kind=GatewayKind.INCLUSIVE) for name in names), Task(name="x"))
    flows = tuple(
        flow
        for name, following in zip(names, [*names[1:], names[0]], strict=True)
        for flow in (Flow(name, following, "a"), Flow(name, "x", "b"))
    )
    lines = outline(Workflow("ring", nodes=nodes, flows=flows), {}).splitlines()
    assert 2 < len(lines) <= 202


def test_a_long_workflow_is_cut():
    names = [f"t{number}" for number in range(1_000)]
    flows = tuple(Flow(source, target) for source, target in pairwise(names))
    lines = outline(Workflow("long", nodes=tuple(Task(name=name) for name in names), flows=flows), {}).splitlines()
    assert len(lines) == 202
    assert lines[-1] == "  … and more"
