"""The systems answer, keep their books, have each effect once, and fail as configured."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from queue import Queue
from typing import Any, Self

import httpx
import pytest

from sample_processes.services import SERVICES
from sample_processes.systems import Faults, Systems, read_books, read_requests

LINE = {"sku": "MON-27", "quantity": 2}
GOOD: dict[str, dict[str, Any]] = {
    "/crm/activities": {"order_id": "7", "activity": "called"},
    "/erp/reservations": {"order_id": "7", "items": [LINE]},
    "/erp/credits": {"order_id": "7", "amount": 5},
    "/warehouse/pick_lists": {"order_id": "7", "items": [LINE]},
    "/warehouse/picks": {"order_id": "7", **LINE},
    "/warehouse/shipments": {"order_id": "7", "country": "DE", "items": [LINE]},
    "/billing/captures": {"order_id": "7", "amount": 990, "card": "card_1"},
    "/billing/invoices": {"order_id": "7", "amount": 990},
    "/mail/messages": {"reference": "7", "to": "a@example.com", "subject": "Thank you"},
    "/flights/bookings": {"trip_id": "7", "destination": "Lisbon"},
    "/hotels/bookings": {"trip_id": "7", "destination": "Lisbon"},
    "/cars/bookings": {"trip_id": "7", "destination": "Lisbon"},
    "/identity/accounts": {"employee_id": "7", "email": "ada@example.com"},
    "/identity/access": {"employee_id": "7", "system": "crm"},
    "/vendor/documents": {"document": {"id": "7", "title": "Export declaration"}},
}
DECIDED = {"id": "document-7-1", "status": "decided", "approved": True}
UNDO = {
    "/erp/releases": "/erp/reservations",
    "/erp/credit_releases": "/erp/credits",
    "/warehouse/withdrawals": "/warehouse/pick_lists",
    "/warehouse/returns": "/warehouse/picks",
    "/warehouse/cancellations": "/warehouse/shipments",
    "/billing/refunds": "/billing/captures",
    "/flights/cancellations": "/flights/bookings",
    "/hotels/cancellations": "/hotels/bookings",
    "/cars/cancellations": "/cars/bookings",
}


@pytest.fixture
def systems() -> Iterator[Systems]:
    with Systems() as running:
        yield running


@pytest.fixture
def client(systems: Systems) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=systems.url, timeout=30) as http:
        yield http


def key(text: str) -> dict[str, str]:
    return {"Idempotency-Key": text}


def test_every_service_is_tested_here() -> None:
    assert {*GOOD, *UNDO} == set(SERVICES)


@pytest.mark.parametrize("path", GOOD)
def test_a_good_request_has_one_effect_in_the_books(path: str, systems: Systems, client: httpx.Client) -> None:
    reply = client.post(path, json=GOOD[path], headers=key("k"))

    assert reply.is_success
    (effect,) = systems.books().to_dict("records")
    assert (effect["effect_id"], effect["case_id"], effect["idempotency_key"]) == (reply.json()["id"], "7", "k")


@pytest.mark.parametrize(("path", "before"), UNDO.items())
def test_what_is_done_can_be_undone_once(path: str, before: str, systems: Systems, client: httpx.Client) -> None:
    reference = {"order_id": "7", "trip_id": "7", "sku": "MON-27"}
    assert client.post(path, json=reference).status_code == 404

    done = client.post(before, json=GOOD[before]).json()["id"]
    assert client.post(path, json=reference).json()["reverses"] == done
    assert client.post(path, json=reference).status_code == 409
    assert systems.books().reverses.tolist()[1:] == [done]


def test_the_pieces_that_go_back_are_those_that_were_picked(client: httpx.Client) -> None:
    for sku in ("MON-27", "LAMP-LED"):
        client.post("/warehouse/picks", json={"order_id": "7", "sku": sku, "quantity": 1})
    lamp, desk = ({"order_id": "7", "sku": sku} for sku in ("LAMP-LED", "DESK-140"))
    assert client.post("/warehouse/returns", json=lamp).json()["reverses"] == "pick-7-2"
    assert client.post("/warehouse/returns", json=desk).status_code == 404


def test_a_refund_gives_back_what_was_captured(systems: Systems, client: httpx.Client) -> None:
    client.post("/billing/captures", json=GOOD["/billing/captures"])
    assert client.post("/billing/refunds", json={"order_id": "7"}).json()["amount"] == 990
    assert systems.books().amount.tolist() == [990, 990]


@pytest.mark.parametrize(
    ("path", "change", "status", "reason"),
    [
        ("/erp/reservations", {"items": []}, 400, "items is empty"),
        ("/erp/reservations", {"items": [{"sku": "MON-99", "quantity": 1}]}, 400, "unknown SKU 'MON-99'"),
        (
            "/erp/reservations",
            {"items": [{"sku": "MON-27", "quantity": 0}]},
            400,
            "quantity must be a whole number above 0, not 0",
        ),
        ("/erp/reservations", {"order_id": None}, 400, "order_id is missing"),
        ("/erp/credits", {"amount": 9_999_999}, 402, "9999999 is above the credit limit of 400000"),
        ("/warehouse/shipments", {"country": None}, 400, "country is missing"),
        ("/warehouse/shipments", {"country": "AQ"}, 400, "we do not ship to 'AQ'"),
        ("/billing/captures", {"card": "card_1_declined"}, 402, "the card was declined"),
        ("/billing/captures", {"amount": 9.5}, 400, "amount must be a whole number above 0, not 9.5"),
        ("/mail/messages", {"to": "ada at example.com"}, 400, "to is not an e-mail address: 'ada at example.com'"),
        ("/hotels/bookings", {"destination": "Davos"}, 409, "no hotels in Davos"),
        ("/cars/bookings", {"destination": "Venice"}, 409, "no cars in Venice"),
        ("/vendor/documents", {"callback_url": "file:///etc"}, 400, "callback_url is not an address: 'file:///etc'"),
    ],
)
def test_bad_business_data_is_refused_without_an_effect(
    path: str, change: dict[str, Any], status: int, reason: str, systems: Systems, client: httpx.Client
) -> None:
    reply = client.post(path, json=GOOD[path] | change, headers=key("k"))

    assert (reply.status_code, reply.json()["error"]) == (status, reason)
    assert systems.books().empty


def test_what_is_not_a_json_object_is_refused(client: httpx.Client) -> None:
    for content in (b"", b"{", b"[]", b"7"):
        assert client.post("/billing/captures", content=content).json() == {"error": "the body must be a JSON object"}


def test_an_unknown_path_names_the_nearest(client: httpx.Client) -> None:
    reply = client.post("/billing/capture", json={})
    assert reply.status_code == 404
    assert reply.json()["error"] == "nobody takes POST /billing/capture; did you mean POST /billing/captures?"


def test_the_same_key_gets_the_same_answer_and_no_second_effect(systems: Systems, client: httpx.Client) -> None:
    first, second = (
        client.post("/billing/captures", json=GOOD["/billing/captures"], headers=key("k")) for _ in range(2)
    )
    assert first.json() == second.json() == {"id": "capture-7-1", "kind": "capture", "amount": 990}
    assert len(systems.books()) == 1


def test_without_a_key_a_repeated_request_is_a_second_effect(systems: Systems, client: httpx.Client) -> None:
    ids = [client.post("/billing/captures", json=GOOD["/billing/captures"]).json()["id"] for _ in range(2)]
    assert ids == systems.books().effect_id.tolist() == ["capture-7-1", "capture-7-2"]


def test_a_key_is_not_taken_for_another_request(systems: Systems, client: httpx.Client) -> None:
    client.post("/billing/captures", json=GOOD["/billing/captures"], headers=key("k"))
    other = GOOD["/billing/captures"] | {"amount": 1}
    assert client.post("/billing/captures", json=other, headers=key("k")).status_code == 422
    assert client.post("/billing/invoices", json=GOOD["/billing/invoices"], headers=key("k")).status_code == 422
    assert systems.books().amount.tolist() == [990]


def test_a_refused_request_may_be_corrected_under_its_key(systems: Systems, client: httpx.Client) -> None:
    declined = GOOD["/billing/captures"] | {"card": "card_1_declined"}
    assert client.post("/billing/captures", json=declined, headers=key("k")).status_code == 402
    assert client.post("/billing/captures", json=GOOD["/billing/captures"], headers=key("k")).status_code == 201
    assert len(systems.books()) == 1


def test_many_threads_with_few_keys_have_one_effect_a_key(systems: Systems, client: httpx.Client) -> None:
    def capture(number: int) -> str:
        body = GOOD["/billing/captures"] | {"order_id": f"{number % 10}"}
        return str(client.post("/billing/captures", json=body, headers=key(f"k{number % 10}")).json()["id"])

    with ThreadPoolExecutor(16) as pool:
        ids = set(pool.map(capture, range(200)))

    assert ids == set(systems.books().effect_id) == {f"capture-{number}-1" for number in range(10)}


def test_an_answer_survives_a_restart(tmp_path: Path) -> None:
    for _ in range(2):
        with Systems(tmp_path / "books.sqlite") as systems:
            reply = httpx.post(f"{systems.urls['crm']}/activities", json=GOOD["/crm/activities"], headers=key("k"))
            assert reply.json()["id"] == "activity-7-1"
    assert read_books(tmp_path / "books.sqlite").effect_id.tolist() == ["activity-7-1"]


@pytest.mark.parametrize(("faults", "effects"), [(Faults(dropped=0.5), 0), (Faults(lost=0.5), 1)])
def test_a_connection_drops_before_or_after_the_effect(faults: Faults, effects: int) -> None:
    with Systems(faults=faults, seed=1) as systems, httpx.Client(base_url=systems.url) as client:
        body = GOOD["/billing/captures"] | {"order_id": dropped_at_first(faults)}
        with pytest.raises(httpx.RemoteProtocolError):
            client.post("/billing/captures", json=body, headers=key("k"))
        assert len(systems.books()) == effects

        assert until_answered(client, body).status_code == 201
        assert len(systems.books()) == 1


def dropped_at_first(faults: Faults) -> str:
    """Return an order whose first capture is dropped under seed 1."""
    for number in range(100):
        with Systems(faults=faults, seed=1) as systems:
            try:
                body = GOOD["/billing/captures"] | {"order_id": str(number)}
                httpx.post(f"{systems.url}/billing/captures", json=body)
            except httpx.RemoteProtocolError:
                return str(number)
    pytest.fail("half of the requests should be dropped")


def until_answered(client: httpx.Client, body: dict[str, Any]) -> httpx.Response:
    for _ in range(20):
        try:
            return client.post("/billing/captures", json=body, headers=key("k"))
        except httpx.TransportError:
            continue
    pytest.fail("half of the requests should be answered")


def test_a_slow_answer_comes_after_its_effect() -> None:
    with Systems(faults=Faults(slow=1.0, slow_s=600)) as systems:
        impatient = httpx.Timeout(30, read=0.2)
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(f"{systems.url}/billing/captures", json=GOOD["/billing/captures"], timeout=impatient)
        before = time.monotonic()
        while (kinds := systems.books().kind.tolist()) == []:
            assert time.monotonic() - before < 60
        assert kinds == ["capture"]
    assert time.monotonic() - before < 300  # closing does not wait for slow answers


@pytest.mark.parametrize(
    ("faults", "status"), [(Faults(unavailable=1, retry_after_s=7), 503), (Faults(throttled=1, retry_after_s=7), 429)]
)
def test_a_busy_system_says_when_to_come_back(faults: Faults, status: int) -> None:
    with Systems(faults=faults) as systems:
        reply = httpx.post(f"{systems.url}/billing/captures", json=GOOD["/billing/captures"])
        assert (reply.status_code, reply.headers["Retry-After"]) == (status, "7")
        assert systems.books().empty


def test_faults_come_at_their_configured_share_and_the_same_every_time() -> None:
    def met() -> list[str]:
        with Systems(faults=Faults(unavailable=0.2, throttled=0.1, rejected=0.05), seed=3) as systems:
            with httpx.Client(base_url=systems.url) as client:
                for number in range(400):
                    client.post("/billing/captures", json=GOOD["/billing/captures"] | {"order_id": str(number)})
            faults: list[str] = systems.requests().fault.tolist()
            return faults

    first = met()
    assert {fault: first.count(fault) for fault in sorted(set(first))} == {
        "none": 265,
        "rejected": 18,
        "throttled": 40,
        "unavailable": 77,
    }
    assert met() == first


def test_attempts_are_counted_for_each_request(systems: Systems, client: httpx.Client) -> None:
    for order_id in ("1", "2", "1"):
        client.post("/crm/activities", json=GOOD["/crm/activities"] | {"order_id": order_id})
    assert systems.requests().attempt.tolist() == [1, 1, 2]


class Receiver:
    """Takes callbacks; answers the first ones with 503."""

    def __init__(self, failures: int = 0) -> None:
        self.received: Queue[bytes] = Queue()
        received, left = self.received, iter(range(failures))

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                busy = next(left, None) is not None
                self.send_response(503 if busy else 204)
                self.end_headers()
                if not busy:
                    received.put(body)

            def log_message(self, *_: object) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/answers/7"

    def __enter__(self) -> Self:
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()


def test_the_vendor_calls_back_until_somebody_answers() -> None:
    with Receiver(failures=2) as receiver, Systems(vendor_delay_s=0.01) as systems:
        body = GOOD["/vendor/documents"] | {"callback_url": receiver.url}
        reply = httpx.post(f"{systems.url}/vendor/documents", json=body)
        assert (reply.status_code, reply.json()["id"]) == (202, "document-7-1")
        assert httpx.Response(200, content=receiver.received.get(timeout=30)).json() == DECIDED


def test_the_vendor_may_call_back_twice() -> None:
    with Receiver() as receiver, Systems(faults=Faults(repeated_callbacks=1), vendor_delay_s=0) as systems:
        httpx.post(f"{systems.url}/vendor/documents", json=GOOD["/vendor/documents"] | {"callback_url": receiver.url})
        assert receiver.received.get(timeout=30) == receiver.received.get(timeout=30)


def test_a_callback_may_get_lost() -> None:
    with Receiver() as receiver, Systems(faults=Faults(lost_callbacks=1), vendor_delay_s=0) as systems:
        body = GOOD["/vendor/documents"] | {"callback_url": receiver.url}
        document = httpx.post(f"{systems.url}/vendor/documents", json=body).json()["id"]
        assert httpx.get(f"{systems.url}/vendor/documents/{document}").json() == DECIDED
        assert receiver.received.empty()


def test_a_document_can_be_asked_after() -> None:
    with Systems(vendor_delay_s=1000) as slow:
        document = httpx.post(f"{slow.url}/vendor/documents", json=GOOD["/vendor/documents"]).json()["id"]
        asked = f"{slow.url}/vendor/documents/{document}"
        assert httpx.get(asked).json() == {"id": "document-7-1", "status": "in_review"}
        assert httpx.get(f"{asked}0").status_code == 404
    with Systems(vendor_delay_s=0) as fast:
        httpx.post(f"{fast.url}/vendor/documents", json=GOOD["/vendor/documents"])
        assert httpx.get(f"{fast.url}/vendor/documents/{document}").json() == DECIDED


def test_as_a_process_it_prints_its_address_and_stops_on_sigterm(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "sample_processes.systems",
        "--db",
        str(tmp_path / "books.sqlite"),
        "--faults",
        "default",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        assert httpx.get(f"{url}/health").json() == {"status": "ok"}
        assert read_requests(tmp_path / "books.sqlite").empty
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 0
