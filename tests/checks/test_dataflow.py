"""Variables: what is set on all ways that lead to a reader is not reported, whatever the blocks around."""

from __future__ import annotations

import pytest

import orchkit as ok

ORDER = {"order": {"type": "object"}}
DATA = {"unknown_variable", "unset_variable", "racing_output"}


def reads(name, variable, **more):
    return ok.task(name, http={"url": f"${{systems.erp}}/${{{variable}}}"}, **more)


def either(one, other):
    return ok.choice(ok.when("order.paid", one), ok.otherwise(other))


SET = {
    "both branches of a choice set it": [
        either(ok.task("a", output="x"), ok.task("b", output="x")),
        reads("read", "x"),
    ],
    "the other branch has ended": [either([ok.end("stop")], [ok.task("a")]), reads("read", "a")],
    "a saga shares its variables": [ok.saga([ok.task("a")]), reads("read", "a")],
    "a loop reads what the pass before has set": [
        ok.task("page"),
        ok.repeat_while("page.more", [reads("next_page", "page.token", output="page")]),
        reads("read", "page"),
    ],
    "loops in loops read what is around them": [
        ok.task("a"),
        ok.for_each(
            "order.items",
            ok.for_each("item.parts", [reads("x", "a"), reads("y", "item"), reads("z", "part.x")], item="part"),
        ),
    ],
    "a loop ends by what a pass has set": [ok.for_each("order.items", ok.task("a"), exit_when="a.done")],
    "an error path reads the error": [ok.scope([ok.task("a")], on_error=[reads("read", "error.type")])],
    "a compensation reads what it undoes": [ok.saga([ok.task("a", compensate=reads("undo", "a.id"))])],
    "the timeout path sets it instead": [
        ok.wait_for(callback="answer", timeout="1s", on_timeout=[ok.task("ask", output="answer")]),
        reads("read", "answer"),
    ],
    "a fallback stands in": [ok.task("a", fallback={"why": "${error.type}"}), reads("read", "a")],
    "an event is matched": [ok.wait_for(event="paid", match="event.id == order.id", timeout="1s")],
    "branches join": [ok.parallel(ok.task("a"), [ok.task("b"), ok.task("c")]), reads("read", "a"), reads("too", "c")],
}

UNSET = {
    "an end in a scope ends only the scope": (
        [ok.scope([either([ok.end("stop")], [ok.task("a")])]), reads("read", "a")],
        "read",
    ),
    "a scope may fail before": ([ok.scope([ok.task("a")], on_error=[reads("read", "a")])], "read"),
    "a loop may have no pass": ([ok.repeat_while("order.open", ok.task("a")), reads("read", "a")], "read"),
}


@pytest.mark.parametrize("name", SET)
def test_what_all_ways_set_can_be_read(name):
    report = ok.check(ok.workflow("w", SET[name], inputs=ORDER))
    assert [str(issue) for issue in report if issue.rule in DATA] == []


@pytest.mark.parametrize("name", UNSET)
def test_what_only_some_ways_set_is_a_warning(name):
    steps, node = UNSET[name]
    report = ok.check(ok.workflow("w", steps, inputs=ORDER))
    assert [(issue.rule, issue.node) for issue in report if issue.rule in DATA] == [("unset_variable", node)]
