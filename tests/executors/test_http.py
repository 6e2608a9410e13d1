from __future__ import annotations

import json

import httpx
import pytest

import orchkit as ok
from orchkit.executors import HttpExecutor
from orchkit.testing import VirtualClock

POST = {"method": "POST", "url": "${systems.shop}/orders/${order.id}", "json": "${order}"}


def engine_with(answer, **more):
    """Return an engine whose requests are answered by a function."""
    http = HttpExecutor(transport=httpx.MockTransport(answer))
    return ok.Engine(executors={"http": http}, systems={"shop": "http://shop"}, clock=VirtualClock(), **more)


def order_workflow(**more):
    return ok.workflow("w", [ok.task("send", http=POST, **more)])


def run(engine, workflow):
    with engine:
        run = engine.run(workflow, {"order": {"id": 7, "qty": 2}}, case_id="A")
        return run.status, dict(run.variables), run.error


def test_settings_are_rendered_and_the_answer_is_the_result():
    seen = []

    def answer(request):
        seen.append((request.method, str(request.url), json.loads(request.content)))
        return httpx.Response(201, json={"shipment": 1})

    status, variables, _ = run(engine_with(answer), order_workflow())

    assert status == "COMPLETED"
    assert seen == [("POST", "http://shop/orders/7", {"id": 7, "qty": 2})]
    assert variables["send"] == {"shipment": 1}


def test_every_attempt_sends_the_same_idempotency_key():
    keys = []

    def answer(request):
        keys.append(request.headers["Idempotency-Key"])
        return httpx.Response(503 if len(keys) < 3 else 200)

    status, _, _ = run(engine_with(answer), order_workflow())

    assert status == "COMPLETED"
    assert len(keys) == 3
    assert len(set(keys)) == 1


def test_an_idempotency_key_of_ones_own_is_a_template():
    keys = []

    def answer(request):
        keys.append(request.headers["Idempotency-Key"])
        return httpx.Response(200)

    run(engine_with(answer), order_workflow(idempotency_key="order-${order.id}"))

    assert keys == ["order-7"]


@pytest.mark.parametrize("code", [408, 425, 429, 500, 502, 503, 504])
def test_transient_codes_are_retried(code):
    answers = iter([code, 200])

    status, _, _ = run(engine_with(lambda _: httpx.Response(next(answers))), order_workflow())

    assert status == "COMPLETED"


@pytest.mark.parametrize("code", [400, 401, 403, 404, 409, 410, 422, 501, 505])
def test_permanent_codes_fail_at_once(code):
    calls = []

    def answer(request):
        calls.append(request)
        return httpx.Response(code, text="the qty is odd")

    status, _, error = run(engine_with(answer), order_workflow())

    assert (status, len(calls)) == ("FAILED", 1)
    assert (error.type, error.error_class) == (str(code), "permanent")
    assert "the qty is odd" in error.message


def test_a_task_may_judge_codes_itself():
    calls = []

    def answer(request):
        calls.append(request)
        return httpx.Response(409 if len(calls) == 1 else 503)

    status, _, error = run(engine_with(answer), order_workflow(retry_on=["409"], fail_on=["503"]))

    assert (status, len(calls), error.type) == ("FAILED", 2, "503")


@pytest.mark.parametrize(
    ("header", "least_s"),
    [("7", 7.0), ("Fri, 01 Jan 2027 00:00:30 GMT", 30.0)],
)
def test_retry_after_is_the_least_delay(header, least_s):
    answers = iter(
        [
            httpx.Response(503, headers={"Retry-After": header, "Date": "Fri, 01 Jan 2027 00:00:00 GMT"}),
            httpx.Response(200),
        ],
    )
    with engine_with(lambda _: next(answers)) as engine:
        history = engine.run(order_workflow(), {"order": {"id": 7}}).history()
        begun = history.loc[history["status"] == "RUNNING", "occurred_at"].tolist()

    assert (begun[2] - begun[1]).total_seconds() == pytest.approx(least_s)


def test_a_broken_connection_is_transient_and_a_timeout_times_out():
    def answer(request):
        raise httpx.ConnectError("refused", request=request)

    def hang(request):
        raise httpx.ReadTimeout("slow", request=request)

    status, _, error = run(engine_with(answer), order_workflow(retry={"max_attempts": 2}))
    late, _, why = run(engine_with(hang), order_workflow(retry={"max_attempts": 1}))

    assert (status, error.type, error.error_class) == ("DEAD_LETTERED", "ConnectError", "transient")
    assert (late, why.type, why.error_class) == ("DEAD_LETTERED", "ReadTimeout", "timeout")


def test_broken_json_is_a_permanent_error():
    def answer(_):
        return httpx.Response(200, content=b"{", headers={"Content-Type": "application/json"})

    status, _, error = run(engine_with(answer), order_workflow())

    assert status == "FAILED"
    assert "broken JSON" in error.message


def test_a_missing_url_or_an_unknown_setting_is_refused_at_the_start():
    with engine_with(lambda _: httpx.Response(200)) as engine:
        with pytest.raises(ok.WorkflowError, match="has no setting 'url'"):
            engine.start(ok.workflow("w", [ok.task("send", http={"method": "GET"})]))
        with pytest.raises(ok.WorkflowError, match="unknown setting 'boddy'"):
            engine.start(ok.workflow("w", [ok.task("send", http={"url": "http://shop", "boddy": 1})]))


def test_a_variable_that_is_missing_in_the_settings_fails_the_step_with_the_expression():
    with engine_with(lambda _: httpx.Response(200)) as engine:
        error = engine.run(order_workflow(), {"ordre": {"id": 1}}).error

    assert error.type == "ExpressionError"
    assert "Did you mean 'ordre'" in error.message
