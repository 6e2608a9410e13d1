"""The stream of the history: nothing is missed, nothing comes twice, and who reads slowly holds up nobody."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from urllib.parse import urlsplit

import orchkit as ok
from tests.service.conftest import Served, problem


@contextlib.contextmanager
def stream(client, **settings):
    """Give an iterator over the events: id, data."""
    with client.stream("GET", "/v1/history/stream", **settings) as answer:
        assert (answer.status_code, answer.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
        yield events(answer.iter_lines())


def events(lines):
    found = {}
    for line in lines:
        name, _, value = line.partition(": ")
        if line == "" and "data" in found:
            yield int(found["id"]), json.loads(found["data"])
            found = {}
        elif name in ("id", "event", "data"):
            found[name] = value


def take(iterator, count):
    return [next(iterator) for _ in range(count)]


def test_what_happens_after_a_seq_is_streamed_as_it_happens(served, read, operate):
    before = served.engine.last_seq()
    with stream(read, params={"after": before}) as found:
        run_id = operate.post("/v1/runs", json={"workflow": "parcel", "case_id": "X-1"}).json()["run_id"]
        first = take(found, 2)
        operate.post(f"/v1/runs/{run_id}/callbacks/complete", json={"callback": "carrier", "payload": 7})
        rest = take(found, 2)

    assert [(row["kind"], row["status"]) for _, row in (*first, *rest)] == [
        ("run", "RUNNING"),
        ("wait", "WAITING"),
        ("wait", "COMPLETED"),
        ("run", "COMPLETED"),
    ]
    assert [seq for seq, _ in (*first, *rest)] == [before + 1, before + 2, before + 3, before + 4]
    assert rest[1][1] == operate.get(f"/v1/runs/{run_id}/history").json()["rows"][-1]


def test_a_stream_is_taken_up_again_where_it_broke_off(served, read, operate):
    for number in range(5):
        operate.post("/v1/runs", json={"workflow": "parcel", "case_id": f"Y-{number}"})
    last = served.engine.last_seq()

    with stream(read, params={"after": 0}) as found:
        part = take(found, 7)
    with stream(read, headers={"Last-Event-ID": str(part[-1][0])}) as found:
        rest = take(found, last - 7)

    assert [seq for seq, _ in (*part, *rest)] == list(range(1, last + 1))


def test_a_stream_that_is_ahead_of_the_store_begins_now(served, read):
    with stream(read, headers={"Last-Event-ID": "999999999"}) as found:
        served.engine.start("parcel", {}, case_id="ahead")

        assert next(found)[1]["case_id"] == "ahead"


def test_a_stream_of_one_run_or_workflow_tells_of_no_other(served, read, operate):
    run_id = operate.post("/v1/runs", json={"workflow": "parcel", "case_id": "Z-1"}).json()["run_id"]
    operate.post("/v1/runs", json={"workflow": "claim", "case_id": "Z-2", "inputs": {"amount": 7}})
    operate.post(f"/v1/runs/{run_id}/cancel", json={})
    served.engine.wait(run_id, "30 s")

    with stream(read, params={"after": 0, "run_id": run_id}) as found:
        mine = take(found, len(served.engine.history(run_id)))
    with stream(read, params={"after": 0, "workflow": "claim"}) as found:
        claims = take(found, 2)

    assert [seq for seq, _ in mine] == served.engine.history(run_id)["seq"].tolist()
    assert {row["workflow"] for _, row in claims} == {"claim"}


def test_a_client_that_does_not_read_holds_up_neither_the_engine_nor_others(served, read):
    with socket.create_connection(urlsplit(served.service.url).netloc.split(":")) as lazy:
        lazy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        token = served.tokens["read"]
        asked = f"Host: localhost\r\nAuthorization: Bearer {token}\r\n\r\n"
        lazy.sendall(f"GET /v1/history/stream?after=0 HTTP/1.1\r\n{asked}".encode())
        before = served.engine.last_seq()
        with stream(read, params={"after": before}) as found:
            for number in range(200):
                served.engine.start("parcel", {"text": "x" * 20_000}, case_id=f"lazy-{number}")
            rows = take(found, served.engine.last_seq() - before)

    assert [seq for seq, _ in rows] == list(range(before + 1, before + len(rows) + 1))


def test_a_client_that_goes_away_gives_its_place_back(served, read):
    for _ in range(5):
        with stream(read, params={"after": 0}) as found:
            next(found)

    while served.service.backend.feed.streams:
        assert read.get("/health/live").status_code == 200


def test_streams_are_many_up_to_a_limit_and_end_with_their_token_and_the_service():
    served = Served(limits=ok.Limits(streams=2))
    read, admin = served.clients["read"], served.clients["admin"]
    other = admin.post("/v1/tokens", json={"name": "other"}).json()
    ended = []

    def listen(client):
        with stream(client) as found:
            listening.release()
            ended.append(sum(1 for _ in found))

    listening = threading.Semaphore(0)
    with served.client(other["token"]) as second:
        threads = [threading.Thread(target=listen, args=[client]) for client in (read, second)]
        for thread in threads:
            thread.start()
            assert listening.acquire(timeout=30)
        with served.client(served.tokens["read"]) as third:
            told = problem(third.get("/v1/history/stream"), 429, "too-many-streams")
        assert admin.delete(f"/v1/tokens/{other['id']}").status_code == 204
        threads[1].join(30)
        assert not threads[1].is_alive()
        served.service.close()
        threads[0].join(30)
        served.close()

    assert "2 streams" in told["detail"]
    assert (threads[0].is_alive(), len(ended)) == (False, 2)
