"""Each block of YAML is the builder of the same name, and gives these nodes and flows."""

from __future__ import annotations

import pytest

import orchkit as ok

BLOCKS = {
    "sequence": ("[{task: a}, {task: b}]", [ok.task("a"), ok.task("b")]),
    "choice": (
        "[{choice: [{when: x > 1, steps: [{task: a}]}, {otherwise: [{task: b}]}]}]",
        [ok.choice(ok.when("x > 1", ok.task("a")), ok.otherwise(ok.task("b")))],
    ),
    "parallel": (
        "[{parallel: [{task: a}, [{task: b}, {task: c}]]}]",
        [ok.parallel(ok.task("a"), [ok.task("b"), ok.task("c")])],
    ),
    "for_each": (
        (
            "[{for_each: xs, as: x, concurrency: 4, continue_when: x.skip, exit_when: x.stop, tolerated_failures: 10%,"
            " steps: [{task: a}]}]"
        ),
        [
            ok.for_each(
                "xs",
                ok.task("a"),
                item="x",
                concurrency=4,
                continue_when="x.skip",
                exit_when="x.stop",
                tolerated_failures="10%",
            )
        ],
    ),
    "repeat_while": (
        "[{repeat_while: not done, max_iterations: 9, steps: [{task: a}]}]",
        [ok.repeat_while("not done", ok.task("a"), max_iterations=9)],
    ),
    "saga": (
        "[{saga: [{task: a, compensate: {task: undo_a}}, {task: b, compensate: none}]}]",
        [ok.saga([ok.task("a", compensate=ok.task("undo_a")), ok.task("b", compensate="none")])],
    ),
    "scope": (
        "[{scope: inner, timeout: 1h, steps: [{task: a}], on_timeout: [{task: b}]}]",
        [ok.scope(ok.task("a"), name="inner", timeout="1h", on_timeout=ok.task("b"))],
    ),
    "callback": (
        "[{wait_for: {callback: carrier, timeout: 2d, on_timeout: [{task: escalate}]}}]",
        [ok.wait_for(callback="carrier", timeout="2 days", on_timeout=ok.task("escalate"))],
    ),
    "event": (
        "[{wait_for: {event: paid, match: event.id == id}}]",
        [ok.wait_for(event="paid", match="event.id == id")],
    ),
    "timer": ("[{wait_for: {timer: 90s, name: pause}}]", [ok.wait_for(timer="90s", name="pause")]),
    "timer by expression": ("[{wait_for: {timer: order.due}}]", [ok.wait_for(timer="order.due")]),
    "call": (
        "[{call: billing, name: bill, inputs: {total: '${total}'}, on_error: [{task: a}]}]",
        [ok.call("billing", name="bill", inputs={"total": "${total}"}, on_error=ok.task("a"))],
    ),
    "end": (
        "[{parallel: [[{task: a}, {end: stop, terminate: true}], {task: b}]}]",
        [ok.parallel([ok.task("a"), ok.end("stop", terminate=True)], ok.task("b"))],
    ),
    "error end": ("[{end: bad, error: 'no ${x}'}]", [ok.end("bad", error="no ${x}")]),
    "http": (
        (
            "[{task: a, http: {method: POST, url: '/${id}', json: '${order}'}, role: clerk, retry: {max_attempts: 5},"
            " deadline: 1h, retry_on: [409, KeyError], fail_on: 404, idempotency_key: '${id}'}]"
        ),
        [
            ok.task(
                "a",
                http={"method": "POST", "url": "/${id}", "json": "${order}"},
                role="clerk",
                retry={"max_attempts": 5},
                deadline="1h",
                retry_on=["409", "KeyError"],
                fail_on="404",
                idempotency_key="${id}",
            )
        ],
    ),
    "python": ("[{task: a, python: b, heartbeat: 5s, output: r}]", [ok.task("a", python="b", heartbeat=5, output="r")]),
    "fallback": ("[{task: a, fallback: {rate: 1}}]", [ok.task("a", fallback={"rate": 1})]),
    "fallback task": ("[{task: a, fallback: {task: b}}]", [ok.task("a", fallback=ok.task("b"))]),
    "error branches": (
        "[{task: a, on_error: [{when: 'error.type == \"Gone\"', steps: [{task: b}]}, {otherwise: []}]}]",
        [ok.task("a", on_error=[ok.when('error.type == "Gone"', ok.task("b")), ok.otherwise()])],
    ),
}


@pytest.mark.parametrize(("text", "steps"), BLOCKS.values(), ids=BLOCKS)
def test_yaml_and_builders_give_the_same_workflow(text, steps):
    assert ok.read_workflow(f"workflow: w\nsteps: {text}\n") == ok.workflow("w", steps)


def arrows(workflow: ok.Workflow) -> list[str]:
    signs = {"normal": "->", "error": "-error->", "timeout": "-timeout->"}
    return [
        f"{flow.source} {signs[flow.kind]} {flow.target}" + (f" if {flow.condition}" if flow.condition else "")
        for flow in workflow.flows
    ]


def test_a_choice_is_a_gateway_and_one_that_joins():
    text, _ = BLOCKS["choice"]

    assert arrows(ok.read_workflow(f"workflow: w\nsteps: {text}\n")) == [
        "start -> choice_1",
        "choice_1 -> a if x > 1",
        "choice_1 -> b",
        "a -> choice_1_end",
        "b -> choice_1_end",
        "choice_1_end -> end",
    ]


def test_a_free_graph_is_written_as_it_is():
    review = ok.read_workflow(
        """
        workflow: review
        nodes:
          received: start
          check_stock: {task: {role: clerk, timeout: 5m}}
          in_stock: exclusive
          reorder: task
          ship: {task: {http: {method: POST, url: /ship}}}
          trouble: {end: {error: "stuck"}}
          closed: end
        flows:
          - received -> check_stock -> in_stock
          - {in_stock -> ship: qty <= stock}
          - in_stock -> reorder -> check_stock
          - ship -> closed
          - ship -error-> trouble
          - {source: check_stock, target: trouble, kind: timeout}
        """
    )

    assert [node.name for node in review.nodes] == [
        "received",
        "check_stock",
        "in_stock",
        "reorder",
        "ship",
        "trouble",
        "closed",
    ]
    assert arrows(review) == [
        "received -> check_stock",
        "check_stock -> in_stock",
        "in_stock -> ship if qty <= stock",
        "in_stock -> reorder",
        "reorder -> check_stock",
        "ship -> closed",
        "ship -error-> trouble",
        "check_stock -timeout-> trouble",
    ]
    assert (review.node("check_stock").role, review.node("check_stock").timeout_s) == ("clerk", 300.0)


def test_a_scope_may_hold_the_other_form():
    inner = "{scope: inner, nodes: {a: task, b: task}, flows: [a -> b]}"

    assert ok.read_workflow(f"workflow: w\nsteps: [{inner}, {{task: c}}]\n") == ok.workflow(
        "w", [ok.scope(name="inner", nodes=[ok.task("a"), ok.task("b")], flows=["a -> b"]), ok.task("c")]
    )


def test_words_are_text_as_in_yaml_1_2():
    order = ok.read_workflow("workflow: no\nversion: 2\nsteps: [{task: on, fallback: [yes, 2026-11-24, 0o17, null]}]\n")

    assert (order.name, order.version) == ("no", "2")
    assert order.node("on").fallback == ["yes", "2026-11-24", 15, None]


def test_a_called_workflow_beside_the_file_is_read_with_it(tmp_path):
    (tmp_path / "order.yaml").write_text("workflow: order\nsteps: [{call: billing}]\n", encoding="utf-8")
    (tmp_path / "billing.yaml").write_text("workflow: billing\nsteps: [{task: bill}]\n", encoding="utf-8")

    order = ok.read_workflow(tmp_path / "order.yaml")

    assert order.called("billing") == ok.workflow("billing", [ok.task("bill")])
