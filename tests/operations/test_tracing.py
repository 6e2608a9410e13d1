from __future__ import annotations

import http.server
import json
import subprocess
import sys
import threading

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

import orchkit as ok
from orchkit.testing import VirtualClock
from orchkit.trace_context import parse_traceparent


class Collector:
    """A collector of OTLP over HTTP, and a system that is asked: what came to either."""

    def __init__(self):
        self.spans, self.asked, self.down = [], [], False
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.path == "/system":
                    outer.asked.append(self.headers["traceparent"])
                elif not outer.down:
                    request = ExportTraceServiceRequest.FromString(body)
                    for resource in request.resource_spans:
                        outer.spans += [span for scope in resource.scope_spans for span in scope.spans]
                self.send_response(400 if outer.down and self.path != "/system" else 200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def by_name(self):
        found = {}
        for span in self.spans:
            found.setdefault(span.name, []).append(span)
        return found


@pytest.fixture
def collector():
    found = Collector()
    yield found
    found.server.shutdown()
    found.server.server_close()


def attributes(span):
    return {each.key: each.value.string_value or each.value.int_value for each in span.attributes}


def test_a_run_is_a_trace_and_each_attempt_a_span(collector):
    tries = []

    def ship():
        tries.append(1)
        if len(tries) < 2:
            raise ok.TransientError("busy")

    child = ok.workflow("deliver", [ok.task("hand_over", python="ship")])
    ask = ok.task("ask", http={"url": f"{collector.url}/system", "json": {}})
    retry = {"max_attempts": 2, "initial_delay": "2 s", "jitter": 0}
    order = ok.workflow("order", [ok.task("ship", retry=retry), ask, ok.call(child)])
    clock = VirtualClock()
    url = f"{collector.url}/v1/traces"
    with ok.Engine(handlers=[ship], clock=clock) as engine, ok.tracing(engine, url, every=None):
        engine.run(order, case_id="A-1")

    spans = collector.by_name()
    (run,), (asked,), (called,), (inner,) = spans["order"], spans["ask"], spans["deliver"][:1], spans["hand_over"]
    assert {name: len(found) for name, found in spans.items()} == {
        "order": 1, "ship": 2, "ask": 1, "deliver": 2, "hand_over": 1,
    }  # fmt: skip
    assert len({span.trace_id for span in collector.spans}) == 1
    assert run.parent_span_id == b""
    assert [attributes(span)["orchkit.attempt"] for span in spans["ship"]] == [1, 2]
    failed, done = spans["ship"]
    assert (failed.status.code, failed.status.message, failed.events[0].name) == (2, "busy", "exception")
    assert (done.status.code, done.parent_span_id) == (1, run.span_id)
    assert done.start_time_unix_nano - failed.end_time_unix_nano == 2_000_000_000
    by_id = {span.span_id: span for span in collector.spans}
    child_run = by_id[inner.parent_span_id]
    assert by_id[child_run.parent_span_id].parent_span_id == run.span_id
    assert called.trace_id == run.trace_id
    told = parse_traceparent(collector.asked[0])
    assert (bytes.fromhex(told.trace_id), bytes.fromhex(told.span_id)) == (asked.trace_id, asked.span_id)


def test_a_caller_and_an_event_hand_their_trace_on(collector):
    caller = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    tell = ok.task("tell", executor="event", settings={"event": "placed", "payload": {}})
    store = ok.workflow("store", [ok.task("ship")], triggers=[ok.Trigger("event", {"event": "placed", "case": "B-1"})])
    with ok.Engine(handlers={"ship": lambda: "sent"}) as engine:
        engine.deploy(store)
        with ok.tracing(engine, f"{collector.url}/v1/traces", every=None):
            engine.run(ok.workflow("shop", [tell]), case_id="A-1", traceparent=caller)
            engine.find("store", "B-1").wait("30 s")

    spans = collector.by_name()
    assert {span.trace_id.hex() for span in collector.spans} == {"0af7651916cd43dd8448eb211c80319c"}
    assert spans["shop"][0].parent_span_id.hex() == "b7ad6b7169203331"
    assert spans["store"][0].parent_span_id == spans["tell"][0].span_id


def test_what_a_collector_did_not_take_is_sent_again_also_after_a_restart(collector, tmp_path):
    work = ok.workflow("w", [ok.task("ship")])
    with ok.Engine(tmp_path / "s.duckdb", {"ship": lambda: "sent"}) as engine:
        collector.down = True
        with ok.tracing(engine, f"{collector.url}/v1/traces", every=None) as tracing:
            engine.run(work, case_id="1")
            with pytest.raises(ConnectionError, match="sent again"):
                tracing.export()
        collector.down = False
    with ok.Engine(tmp_path / "s.duckdb", {"ship": lambda: "sent"}) as engine:
        with ok.tracing(engine, f"{collector.url}/v1/traces", every=None):
            engine.run(work, case_id="2")
        with ok.tracing(engine, f"{collector.url}/v1/traces", every="10 ms"):
            pass

    assert {name: len(found) for name, found in collector.by_name().items()} == {"w": 2, "ship": 2}


@pytest.mark.parametrize(
    "header",
    [
        "",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
        "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "00-00000000000000000000000000000000-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
        "00-0AF7651916CD43DD8448EB211C80319C-B7AD6B7169203331-01",
    ],
)
def test_a_header_that_is_none_is_ignored(header):
    assert parse_traceparent(header) is None
    with ok.Engine() as engine:
        run = engine.start(ok.workflow("w", [ok.wait_for(callback="x")]), traceparent=header)
        assert len(run.history()["trace_id"].iloc[0]) == 32


def test_without_tracing_nothing_of_it_is_imported():
    script = (
        "import sys, json, orchkit as ok\n"
        "with ok.Engine(handlers={'ship': dict}) as engine:\n"
        "    engine.run(ok.workflow('w', [ok.task('ship')]))\n"
        "    ok.watch, ok.backtest\n"
        "print(json.dumps([name for name in sys.modules if name.startswith(('opentelemetry', 'apprise'))]))\n"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert json.loads(ran.stdout) == []
