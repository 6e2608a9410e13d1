"""Every rule: a workflow in which it finds something, where and what, and one like it in which it does not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pytest

import orchkit as ok
from orchkit.checks.rulebook import RULES
from orchkit.model import Flow, FlowKind, Task, Wait, WaitKind
from tests.checks.shorthand import graph

ORDER = {"order": {"type": "object"}}
MAIL = {"sender": "a@example.org", "to": "${order.email}", "subject": "Hello"}
LATE = ok.Alert("late", "failure_rate > 5%")


@dataclass(frozen=True)
class Example:
    rule: str
    bad: ok.Workflow
    node: str
    message: str
    good: ok.Workflow
    note: str = ""
    handlers: Sequence[object] | None = None


def steps(*blocks, **more):
    return ok.workflow("w", list(blocks), **({"inputs": ORDER} | more))


def http(name="ship", url="${systems.erp}/ship", **more):
    settings = {"url": url, "json": {"id": "${order.id}"}, **more.pop("settings", {})}
    return ok.task(name, http=settings, **({"timeout": "5s"} | more))


def sql(query):
    settings = {"url": "${secrets.books}", "query": query}
    return ok.task("note", executor="sql", settings=settings)


def takes_order(order):
    """Be a handler."""


def takes_key(order, idempotency_key):
    """Be a handler."""


def takes_oder(oder):
    """Be a handler."""


CHILD = ok.workflow("child", [ok.task("work")], inputs={"order": {}, "size": {"default": 1}})
A, B = ok.task("a"), ok.task("b")


def started_by(kind, **settings):
    return ok.workflow("w", [A], inputs={"order": {}, "size": {"default": 1}}, triggers=[ok.Trigger(kind, settings)])


PLACED = started_by("event", event="placed", match="event.total > 0", case="${event.id}", inputs={"order": "${event}"})

EXAMPLES = [
    Example(
        "bad_trigger",
        started_by("schedule", cron="61 * * * *", inputs={"order": 1}),
        "",
        "Trigger 1 (schedule): schedule 'w': '61 * * * *' is not a cron expression such as '30 2 * * MON-FRI': "
        "Bad minute.",
        started_by("schedule", cron="1 * * * *", inputs={"order": "${schedule.due}"}),
    ),
    Example(
        "bad_trigger",
        started_by("event", event="placed", match="evnt.total > 0", inputs={"order": "${event}"}),
        "",
        "Trigger 1 (event): match reads 'evnt'; it sees only event.",
        PLACED,
    ),
    Example(
        "bad_trigger",
        started_by("queue", subjct="placed", subject="placed", inputs={"order": "${event}"}),
        "",
        "Trigger 1 (queue): there is no setting 'subjct'. Did you mean 'subject'?",
        started_by("queue", subject="placed", inputs={"order": "${event}"}),
    ),
    Example(
        "unknown_trigger",
        started_by("sheduel"),
        "",
        "Trigger 1 (sheduel): orchkit has no trigger of the kind 'sheduel'. Did you mean 'schedule'?",
        started_by("manual"),
    ),
    Example(
        "never_due",
        started_by("schedule", every="1 h", first=7200, until=3600, inputs={"order": 1}),
        "",
        "Trigger 1 (schedule): no run is ever due by every 3600 s.",
        started_by("schedule", every="1 h", first=3600, until=7200, inputs={"order": 1}),
    ),
    Example(
        "trigger_inputs",
        started_by("event", event="placed", inputs={"order": "${event}", "sise": 2}),
        "",
        "Trigger 1 (event): the workflow has no input 'sise'. Did you mean 'size'?",
        PLACED,
    ),
    Example(
        "trigger_inputs",
        started_by("schedule", every="1 h"),
        "",
        "Trigger 1 (schedule): the input 'order' is missing, and has no default.",
        started_by("schedule", every="1 h", inputs={"order": {}}),
    ),
    # Structure -------------------------------------------------------------------
    Example(
        "unsound",
        graph("start s? a b j+ end", "start s? a j+ end", "s? b j+"),
        "j+",
        "Deadlock: 'j+' has a token from 'a' and waits for one from 'b' that cannot come.",
        graph("start s? a b j? end", "start s? a j? end", "s? b j?"),
    ),
    Example("empty", steps(ok.scope(nodes=[], name="inner")), "inner", "There is nothing in it.", steps(ok.scope([A]))),
    Example(
        "no_start",
        graph("a b", "a b a"),
        "",
        "There is no start, and something leads to each node: nothing can begin.",
        graph("a b", "a b"),
    ),
    Example(
        "unreachable",
        graph("start a b end", "start a end", "b end"),
        "b",
        "No way from a start leads here.",
        graph("start a b end", "start a end", Flow("a", "b", kind=FlowKind.ERROR), "b end"),
    ),
    Example(
        "dead_end",
        graph("start s? a b end", "start s? a end", "s? b: a"),
        "b",
        "The path stops here, without an end.",
        graph("a b", "a b"),
    ),
    Example(
        "dead_end",
        graph("start a s?", "start a s?"),
        "s?",
        "The gateway leads nowhere.",
        graph("start a end", "start a end"),
    ),
    Example(
        "missing_default",
        steps(ok.choice(ok.when("order.paid", A), ok.when("order.late", B))),
        "choice_1",
        "Each of its flows has a condition; where none holds, the run fails.",
        steps(ok.choice(ok.when("order.paid", A), ok.otherwise(B))),
    ),
    Example(
        "missing_default",
        graph("a b c", "a b: a", "a c: b"),
        "a",
        "Each of its flows has a condition; where none holds, the run fails.",
        graph("a b c", "a b: a", "a c"),
    ),
    Example(
        "never_taken",
        steps(ok.choice(ok.when("order.paid", A), ok.when("order.paid", B), ok.otherwise())),
        "choice_1",
        "The flow to 'b' is never taken: the same condition stands before it.",
        steps(ok.choice(ok.when("order.paid", A), ok.when("order.late", B), ok.otherwise())),
    ),
    Example(
        "never_taken",
        graph("start s? a b end", "start s? a end", "s? b end"),
        "s?",
        "The flow to 'b' is never taken: the flow to 'a' is the default already.",
        graph("start s? a b end", "start s? a end", "s? b: a", "b end"),
    ),
    Example(
        "never_taken",
        steps(ok.choice(ok.when("true", A), ok.otherwise(B))),
        "choice_1",
        "The flow to 'b' is never taken: another condition always holds.",
        steps(ok.choice(ok.when("order.paid", A), ok.when("true", B))),
    ),
    Example(
        "never_taken",
        steps(ok.task("a", fallback=0, on_error=[B])),
        "a",
        "The error flow to 'b' is never taken: the fallback comes first.",
        steps(ok.task("a", on_error=[B])),
    ),
    Example(
        "never_taken",
        graph("start a b end", "start a end", Flow("start", "b", kind=FlowKind.ERROR), "b end"),
        "start",
        "The error flow to 'b' is never taken: 'start' does no work that could fail or time out.",
        graph("start a b end", "start a end", Flow("a", "b", kind=FlowKind.ERROR), "b end"),
    ),
    Example(
        "condition_ignored",
        graph("start s+ a b j+ end", "start s+", "s+ a: a", "a j+ end", "s+ b j+"),
        "s+",
        "The condition 'a' of the flow to 'a' is not evaluated: all flows that leave it are taken.",
        graph("start s~ a b j~ end", "start s~", "s~ a: a", "a j~ end", "s~ b j~"),
    ),
    Example(
        "constant_condition",
        steps(ok.choice(ok.when("1 > 2", A), ok.otherwise(B))),
        "choice_1",
        "The condition of the flow to 'a' never holds: '1 > 2'.",
        steps(ok.choice(ok.when("order.size > 2", A), ok.otherwise(B))),
    ),
    Example(
        "constant_condition",
        steps(ok.repeat_while("true", A, name="loop")),
        "loop",
        "repeat_while always holds: 'true'.",
        steps(ok.repeat_while("order.open", A)),
    ),
    Example(
        "one_way_gateway",
        graph("start s? a end", "start s? a end"),
        "s?",
        "It has one way in and one way out.",
        steps(ok.choice(ok.when("order.paid", A), ok.otherwise(B))),
    ),
    Example(
        "event_gateway",
        graph("start e* wait_1 a end", "start e* wait_1 end", "e* a end"),
        "e*",
        "It leads to 'a', which does not wait.",
        graph("start e* wait_1 wait_2 end", "start e* wait_1 end", "e* wait_2 end"),
    ),
    Example(
        "duplicate_flow",
        graph("start a end", "start a end", "a end"),
        "a",
        "2 flows to 'end' are the same.",
        graph("start a end", "start a end", Flow("a", "end", kind=FlowKind.ERROR)),
    ),
    Example(
        "similar_names",
        steps(ok.task("check_stock"), ok.task("Check Stock")),
        "Check Stock",
        "Its name is nearly that of 'check_stock'.",
        steps(ok.task("check_stock"), ok.task("check_stock_2")),
    ),
    Example(
        "unknown_alert",
        steps(ok.task("a", alert="lat"), alerts=[LATE]),
        "a",
        "The workflow has no alert 'lat'. Did you mean 'late'?",
        steps(ok.task("a", alert="late"), alerts=[LATE]),
    ),
    Example(
        "duplicate_alert", steps(A, alerts=[LATE, LATE]), "", "2 alerts are called 'late'.", steps(A, alerts=[LATE])
    ),
    Example(
        "unknown_executor",
        steps(ok.task("a", executor="htttp")),
        "a",
        "orchkit has no executor 'htttp'. Did you mean 'http'?",
        steps(http()),
    ),
    Example(
        "unknown_workflow",
        steps(ok.call("chld"), workflows=[CHILD]),
        "chld",
        "There is no definition of 'chld'. Did you mean 'child'?",
        steps(ok.call(CHILD, inputs={"order": "${order}"})),
    ),
    Example(
        "unused_workflow",
        steps(A, workflows=[CHILD]),
        "",
        "No call names the workflow 'child'.",
        steps(ok.call(CHILD, inputs={"order": "${order}"})),
    ),
    Example(
        "called_workflow",
        steps(ok.call(ok.workflow("child", [ok.task("work", alert="lat")]))),
        "child",
        "'child' has 1 error; the first: error unknown_alert: work: The workflow has no alert 'lat'. Add it to alerts.",
        steps(ok.call(CHILD, inputs={"order": "${order}"})),
    ),
    Example(
        "unknown_handler",
        steps(ok.task("take_order")),
        "take_order",
        "Task 'take_order' has no handler 'take_order'. Did you mean 'takes_order'?",
        steps(ok.task("takes_order")),
        handlers=[takes_order],
    ),
    Example(
        "bad_setting",
        steps(ok.task("ship", http={"ulr": "${systems.erp}"})),
        "ship",
        "Task 'ship' (http): unknown setting 'ulr'. Did you mean 'url'?",
        steps(http()),
    ),
    Example(
        "bad_setting",
        steps(http(url="/ship")),
        "ship",
        "The url '/ship' begins with neither an address nor ${systems.…}.",
        steps(http()),
    ),
    Example(
        "bad_setting",
        steps(ok.task("a", python={"argument": {}})),
        "a",
        "A Python task has no setting 'argument'. Did you mean 'arguments'?",
        steps(ok.task("a", python={"arguments": {}})),
    ),
    Example(
        "bad_setting",
        steps(ok.for_each("order.items", A, name="lines", tolerated_failures="a few")),
        "lines",
        "tolerated_failures is 'a few', not a count or a share such as '10%'.",
        steps(ok.for_each("order.items", A, name="lines", tolerated_failures="10%")),
    ),
    Example(
        "bad_value",
        graph([Task(name="a", settings=["x"])]),
        "a",
        "node 'a': settings must be a mapping, not ['x'].",
        graph([Task(name="a", settings={"handler": "x"})]),
    ),
    Example(
        "time_limits",
        steps(ok.task("a", timeout="5 min", deadline="1 min")),
        "a",
        "Its timeout (300 s) is longer than its deadline (60 s).",
        steps(ok.task("a", timeout="1 min", deadline="5 min")),
    ),
    Example(
        "time_limits",
        steps(ok.task("a", heartbeat="5 min", timeout="1 min")),
        "a",
        "Its heartbeat (300 s) is longer than its timeout (60 s).",
        steps(ok.task("a", heartbeat="1 min", timeout="5 min")),
    ),
    Example(
        "time_limits",
        steps(ok.scope([ok.task("a", timeout="5 min")], name="part", timeout="1 min")),
        "a",
        "It may take 300 s, but 'part' around it times out after 60 s.",
        steps(ok.scope([ok.task("a", timeout="1 min")], name="part", timeout="5 min")),
    ),
    Example(
        "time_limits",
        steps(ok.wait_for(callback="answer", timeout="2 days"), sla="1 day"),
        "answer",
        "It may take 172800 s, but the sla of the whole is 86400 s.",
        steps(ok.wait_for(callback="answer", timeout="1 day"), sla="2 days"),
    ),
    Example(
        "timeout_path",
        steps(ok.wait_for(callback="answer", on_timeout=[A])),
        "answer",
        "It has a path for its timeout, but no timeout.",
        steps(ok.wait_for(callback="answer", timeout="1 day", on_timeout=[A])),
    ),
    Example(
        "idle_compensation",
        steps(ok.task("a", compensate=B)),
        "a",
        "'b' undoes it, but only sagas compensate.",
        steps(ok.saga([ok.task("a", compensate=B)])),
    ),
    Example(
        "waiver",
        steps(ok.task("a", waive={"timeouts": "why not"})),
        "a",
        "There is no rule 'timeouts' to waive. Did you mean 'timeout'?",
        steps(ok.task("a", waive={"timeout": "why not"})),
    ),
    # Data ------------------------------------------------------------------------
    Example(
        "bad_expression",
        graph("start s? a b end", "start s? a end", "s? b: a >", "b end"),
        "s?",
        "condition of the flow to 'b': 'a >' is not an expression: invalid syntax.",
        graph("start s? a b end", "start s? a end", "s? b: a > 1", "b end"),
    ),
    Example(
        "bad_expression",
        steps(ok.for_each("1 + 'a'", A, name="lines")),
        "lines",
        "for_each has no value: \"1 + 'a'\": unsupported operand type(s) for +: 'int' and 'str'",
        steps(ok.for_each("[1, 2]", A, name="lines")),
    ),
    Example(
        "unknown_variable",
        steps(ok.choice(ok.when("oder.paid", A), ok.otherwise(B))),
        "choice_1",
        "condition of the flow to 'a' reads 'oder', which nothing sets. Did you mean 'order'?",
        steps(ok.choice(ok.when("order.paid", A), ok.otherwise(B))),
    ),
    Example(
        "unknown_variable",
        steps(http(url="${systems.erp}/${a}"), A),
        "ship",
        "settings.url reads 'a': 'a' sets it, but not before.",
        steps(A, http(url="${systems.erp}/${a}")),
    ),
    Example(
        "unknown_variable",
        steps(ok.for_each("order.items", A, name="lines"), http(url="${systems.erp}/${a}")),
        "ship",
        "settings.url reads 'a': each pass of 'lines' keeps it for itself; 'lines' has the list of all.",
        steps(ok.for_each("order.items", A, name="lines"), http(url="${systems.erp}/${lines}")),
    ),
    Example(
        "unknown_variable",
        steps(ok.choice(ok.when("run.id", A), ok.otherwise(B))),
        "choice_1",
        "condition of the flow to 'a' reads 'run', which only the settings of tasks can see.",
        steps(http(url="${systems.erp}/${run.id}")),
    ),
    Example(
        "unknown_variable",
        steps(http(url="${systems.erp}/${error.type}")),
        "ship",
        "settings.url reads 'error': no error has happened on any way that leads here.",
        steps(ok.task("a", on_error=[http(url="${systems.erp}/${error.type}")])),
    ),
    Example(
        "unknown_variable",
        steps(ok.task("takes_oder")),
        "takes_oder",
        "Its handler reads 'oder', which nothing sets. Did you mean 'order'?",
        steps(ok.task("takes_oder", output="oder"), ok.task("again", python="takes_oder"), inputs=ORDER | {"oder": {}}),
        handlers=[takes_oder],
    ),
    Example(
        "unset_variable",
        steps(ok.choice(ok.when("order.paid", A), ok.otherwise(B)), http(url="${systems.erp}/${a}")),
        "ship",
        "settings.url reads 'a', which 'a' sets, but not on every way that leads here.",
        steps(ok.parallel(A, B), http(url="${systems.erp}/${a}")),
    ),
    Example(
        "unset_variable",
        steps(ok.parallel(A, http(url="${systems.erp}/${a}"))),
        "ship",
        "settings.url reads 'a', which 'a' sets, but not on every way that leads here.",
        steps(A, ok.parallel(B, http(url="${systems.erp}/${a}"))),
    ),
    Example(
        "unset_variable",
        steps(ok.repeat_while("order.open", A), http(url="${systems.erp}/${a}")),
        "ship",
        "settings.url reads 'a', which 'a' sets, but not on every way that leads here.",
        steps(ok.scope([A]), http(url="${systems.erp}/${a}")),
    ),
    Example(
        "unset_variable",
        steps(ok.task("a", on_error=[B]), http(url="${systems.erp}/${a}")),
        "ship",
        "settings.url reads 'a', which 'a' sets, but not on every way that leads here.",
        steps(ok.task("a", on_error=[ok.end()]), http(url="${systems.erp}/${a}")),
    ),
    Example(
        "undeclared_input",
        steps(ok.choice(ok.when("paid", A), ok.otherwise(B)), inputs={}),
        "choice_1",
        "condition of the flow to 'a' reads 'paid', which no node sets, and the workflow declares no inputs.",
        steps(ok.choice(ok.when("paid", A), ok.otherwise(B)), inputs={"paid": {"type": "boolean"}}),
    ),
    Example(
        "call_inputs",
        steps(ok.call(CHILD, inputs={"oder": "${order}", "order": 1})),
        "child",
        "'child' has no input 'oder'. Did you mean 'order'?",
        steps(ok.call(CHILD, inputs={"order": "${order}"})),
    ),
    Example(
        "call_inputs",
        steps(ok.call(CHILD)),
        "child",
        "'child' requires the input 'order'.",
        steps(ok.call(CHILD, inputs={"order": "${order}"})),
    ),
    Example(
        "bad_schema",
        steps(A, inputs={"order": {"type": "objekt"}}),
        "",
        "The schema of the input 'order' is not JSON Schema: 'objekt' is not valid under any of the given schemas",
        steps(A),
    ),
    Example(
        "unused_output",
        steps(http("pay", output="payment"), http()),
        "pay",
        "Nothing reads its result 'payment'.",
        steps(http("pay", output="payment"), http(url="${systems.erp}/${payment.id}")),
    ),
    Example(
        "unused_output",
        steps(ok.task("pay", python="takes_order", output="payment"), http()),
        "pay",
        "Nothing reads its result 'payment'.",
        steps(ok.task("pay", python="takes_order", output="order"), ok.task("again", python="takes_order")),
        handlers=[takes_order],
    ),
    Example(
        "racing_output",
        steps(ok.parallel(ok.task("a", output="x"), ok.task("b", output="x"))),
        "b",
        "It sets 'x', and so does 'a' at the same time.",
        steps(ok.choice(ok.when("order.paid", ok.task("a", output="x")), ok.otherwise(ok.task("b", output="x")))),
    ),
    Example(
        "variable_name",
        steps(ok.task("a", output="len")),
        "a",
        "The output 'len' is a word of the expression language.",
        steps(ok.task("a", output="length")),
    ),
    Example(
        "variable_name",
        steps(A, inputs={"order id": {}}),
        "",
        "No expression can read the input 'order id'.",
        steps(A, inputs={"order_id": {}}),
    ),
    Example(
        "variable_name",
        steps(ok.for_each("order.items", A, item="run", name="lines")),
        "lines",
        "The item 'run' hides the run that settings see.",
        steps(ok.for_each("order.items", A, item="line", name="lines")),
    ),
    Example(
        "variable_name",
        steps(ok.task("a", output="error")),
        "a",
        "The output 'error' is overwritten when an error path is taken.",
        steps(ok.task("a", output="failure")),
    ),
    # Readiness -------------------------------------------------------------------
    *(
        Example("errors_handled", steps(A), "a", "Nothing deals with its failure: the run ends there.", good, note)
        for note, good in {
            "error path": steps(ok.task("a", on_error=[B])),
            "fallback": steps(ok.task("a", fallback=0)),
            "saga": steps(ok.saga([A])),
            "scope": steps(ok.scope([A], fallback=0)),
            "tolerant loop": steps(ok.for_each("order.items", A, tolerated_failures=1)),
        }.items()
    ),
    Example(
        "errors_handled",
        steps(ok.wait_for(callback="answer", timeout="1 day")),
        "answer",
        "Nothing deals with its timeout: the run ends there.",
        steps(ok.wait_for(callback="answer", timeout="1 day", on_timeout=[ok.end()])),
    ),
    Example(
        "compensation",
        steps(ok.saga([A], name="booking")),
        "a",
        "When the saga 'booking' fails, nothing undoes it.",
        steps(ok.saga([ok.task("a", compensate="none")], name="booking")),
    ),
    Example(
        "compensation",
        steps(ok.saga([http("pay")], name="booking")),
        "pay",
        "When the saga 'booking' fails, nothing undoes it.",
        steps(ok.saga([ok.task("ask", http={"url": "${systems.erp}/stock"}, timeout="5s")], name="booking")),
        "a question needs no undoing",
    ),
    Example(
        "retry_policy",
        steps(http(retry={"max_attempts": 1})),
        "ship",
        "It goes over a network, and is tried only once.",
        steps(ok.task("a", retry={"max_attempts": 1})),
    ),
    Example(
        "retry_policy",
        steps(http(), retry={"initial_delay": "0s", "multiplier": 1}),
        "ship",
        "It tries 3 times without a delay between them (the workflow's policy).",
        steps(http(), retry={"initial_delay": "1s"}),
    ),
    Example(
        "retry_policy",
        steps(http(retry_on=["404"])),
        "ship",
        "It retries on 404, which another attempt does not cure.",
        steps(http(retry_on=["409"])),
    ),
    Example(
        "retry_policy",
        steps(ok.task("a", deadline="5s", retry={"initial_delay": "4s", "jitter": 0})),
        "a",
        "The delays between its 3 attempts sum up to 12 s, longer than its deadline of 5 s.",
        steps(ok.task("a", deadline="20s", retry={"initial_delay": "4s", "jitter": 0})),
    ),
    Example("timeout", steps(A), "a", "An attempt of it may last for ever.", steps(ok.task("a", timeout="5s"))),
    Example(
        "timeout",
        steps(ok.wait_for(callback="answer")),
        "answer",
        "It may wait for ever for the callback.",
        steps(ok.wait_for(callback="answer", timeout="1 day")),
    ),
    Example(
        "timeout",
        steps(ok.wait_for(event="paid")),
        "paid",
        "It may wait for ever for the event.",
        graph(
            [
                "start",
                "e*",
                Wait(name="w", kind=WaitKind.EVENT),
                Wait(name="t", kind=WaitKind.TIMER, duration_s=1),
                "end",
            ],
            "start e* w end",
            "e* t end",
        ),
        "a timer races it",
    ),
    Example(
        "idempotency",
        steps(http(idempotency_key="ship")),
        "ship",
        "Its idempotency_key is the same for every case: only the first has an effect.",
        steps(http(idempotency_key="ship-${order.id}")),
    ),
    Example(
        "idempotency",
        steps(http(settings={"headers": {"Idempotency-Key": "7"}})),
        "ship",
        "Its header Idempotency-Key is the same for every case: only the first has an effect.",
        steps(http()),
    ),
    Example(
        "idempotency",
        steps(ok.for_each("order.items", http(idempotency_key="${order.id}"), name="lines")),
        "ship",
        "Its idempotency_key is the same for every item of 'lines'.",
        steps(ok.for_each("order.items", http(idempotency_key="${order.id}-${item.id}"), name="lines")),
    ),
    Example(
        "idempotency",
        steps(sql("INSERT INTO books VALUES (:id)")),
        "note",
        "An INSERT that is tried twice may be done twice.",
        steps(sql("INSERT INTO books VALUES (:id) ON CONFLICT DO NOTHING")),
    ),
    Example(
        "idempotency",
        steps(ok.saga([ok.task("takes_order", compensate=ok.task("takes_key"))])),
        "takes_order",
        "It has an effect, may be tried again, and its handler takes no idempotency_key.",
        steps(ok.saga([ok.task("takes_key", compensate="none"), ok.task("takes_order", compensate="none")])),
        handlers=[takes_order, takes_key],
    ),
    Example(
        "alert", steps(A, alerts=[LATE]), "a", "No alert watches it.", steps(ok.task("a", alert="late"), alerts=[LATE])
    ),
    Example(
        "alert",
        steps(A),
        "",
        "The workflow has no alerts: nobody hears when its tasks fail.",
        steps(ok.task("a", alert="late"), alerts=[LATE]),
    ),
    Example(
        "description",
        steps(A, description="Ships."),
        "a",
        "It does not say what it is for.",
        steps(ok.task("a", description="Ships."), description="Ships."),
    ),
    Example(
        "description",
        steps(ok.task("a", description="Ships.")),
        "",
        "The workflow does not say what it is for.",
        steps(ok.task("a", description="Ships."), description="Ships."),
    ),
    *(
        Example(
            "business_logic",
            steps(ok.choice(ok.when(condition, A), ok.otherwise(B))),
            "choice_1",
            f"condition of the flow to 'a' {what}: {condition!r}.",
            steps(ok.choice(ok.when('order.country == "US" and order.paid and not order.late', A), ok.otherwise(B))),
        )
        for condition, what in {
            "order.total * 1.19 > 100": "computes",
            "sum(order.prices) > 100": "computes",
            "any(item.late for item in order.items)": "goes through a list",
            "1 if order.paid else 0": "decides",
            "order.a and order.b and (order.c or order.d)": "weighs 4 conditions",
        }.items()
    ),
    Example(
        "coupling",
        steps(http(url="https://erp.example.org/orders")),
        "ship",
        "settings.url holds the address https://erp.example.org.",
        steps(http(url="${systems.erp}/orders")),
    ),
    Example(
        "coupling",
        steps(ok.task("note", executor="sql", settings={"url": "postgresql://books:5432/b", "query": "SELECT 1"})),
        "note",
        "settings.url holds the address postgresql://books:5432.",
        steps(sql("SELECT 1")),
    ),
    Example(
        "coupling",
        steps(ok.task("tell", executor="email", settings=MAIL | {"host": "smtp.example.org"})),
        "tell",
        "settings.host holds the address smtp.example.org.",
        steps(ok.task("tell", executor="email", settings=MAIL | {"host": "${systems.smtp}"})),
    ),
    Example(
        "literal_secret",
        steps(ok.task("note", executor="sql", settings={"url": "mysql://ada:abc@books/b", "query": "SELECT 1"})),
        "note",
        "settings.url holds a password.",
        steps(
            ok.task("note", executor="sql", settings={"url": "mysql://ada:${secrets.b}@books/b", "query": "SELECT 1"})
        ),
    ),
    Example(
        "literal_secret",
        steps(http(settings={"headers": {"Authorization": "Bearer 123"}})),
        "ship",
        "settings.headers.Authorization holds what looks like a secret.",
        steps(http(settings={"headers": {"Authorization": "Bearer ${secrets.erp}"}})),
    ),
]


@pytest.mark.parametrize(
    "example", EXAMPLES, ids=lambda example: f"{example.rule}: {example.note or example.message}"[:70]
)
def test_a_rule_finds_what_it_is_for_and_nothing_else(example):
    found = [issue for issue in ok.check(example.bad, example.handlers) if issue.rule == example.rule]
    there = [issue.message for issue in found if issue.node == example.node]
    assert any(message.startswith(example.message) for message in there), found
    good = [issue for issue in ok.check(example.good, example.handlers) if issue.rule == example.rule]
    assert good == []


def test_what_the_budget_does_not_decide_is_a_warning():
    crossed = graph(
        "start s? p+ q+ a b c d m? n? j+ end",
        "start s? p+ a m? j+ end",
        "p+ b n? j+",
        "s? q+ c m?",
        "q+ d n?",
    )
    issues = [issue for issue in ok.check(crossed, budget=2) if issue.rule == "undecided"]
    assert [(issue.severity.value, issue.message) for issue in issues] == [
        ("warning", "The graph does not consist of blocks, and more than 2 states of its tokens are possible.")
    ]
    assert "undecided" not in {issue.rule for issue in ok.check(crossed)}


def test_every_rule_has_examples():
    assert {example.rule for example in EXAMPLES} | {"undecided"} == set(RULES)


def test_the_table_of_rules_has_what_is_documented():
    table = ok.rules()
    assert list(table.columns) == ["rule", "group", "severity", "finds", "hint"]
    assert list(table.rule) == list(RULES)
    assert (table != "").all(axis=None)
