"""Signed messages from outside: taken once, without a token; forged, replayed, stale ones change nothing."""

from __future__ import annotations

import base64
import hashlib
import hmac
import io
import json
import time

import httpx
import pytest

import orchkit as ok
from orchkit.errors import SecretError
from tests.service.conftest import problem

OLD, NEW, CARRIER = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_plJ3nmyCDGBKInavdOK15jsl", "carrier-key-22"
SHOP = """
workflow: sale
triggers:
  - webhook:
      name: shop
      secret: [shop_new, "secret:shop_old"]
      match: event.type == "order.paid"
      case: "${event.data.id}"
      inputs: {order: "${event.data}"}
steps: [{task: book}]
"""
PARCEL = """
workflow: parcel
triggers: [{webhook: {callback: carrier, secret: "${secrets.carrier}"}}]
steps:
  - repeat_while: "count < 2"
    steps:
      - wait_for: {callback: carrier}
      - {task: count}
"""


def signature(secret, message_id, moment, body):
    """What a sender does that this project did not write, word for word as the standard has it."""
    key = base64.b64decode(secret.removeprefix("whsec_")) if secret.startswith("whsec_") else secret.encode()
    digest = hmac.new(key, f"{message_id}.{moment}.".encode() + body, hashlib.sha256).digest()
    return "v1," + base64.b64encode(digest).decode()


class Vendor:
    """Who sends signed messages."""

    def __init__(self, path=None):
        self.log = io.StringIO()
        handlers = {"book": lambda order: order["id"], "count": lambda count=0: count + 1}
        secrets = {"shop_old": OLD, "shop_new": NEW, "carrier": CARRIER}
        self.service = ok.Service(path, handlers=handlers, port=0, log=self.log, secrets=secrets)
        self.engine = self.service.engine
        for text in (SHOP, PARCEL):
            self.engine.deploy(ok.read_workflow(text))
        self.client = httpx.Client(base_url=self.service.url, timeout=30)
        self.count = 0

    def headers(self, secret, body, *, message_id=None, off=0):
        self.count += 1
        message_id, moment = message_id or f"msg_{self.count}", int(self.engine.now) + off
        signed = signature(secret, message_id, moment, body)
        return {"webhook-id": message_id, "webhook-timestamp": str(moment), "webhook-signature": signed}

    def post(self, path, body, headers):
        headers = {"content-type": "application/json", **headers}
        return self.client.post(path, content=body, headers={name: text for name, text in headers.items() if text})

    def waits(self, case):
        """Start a parcel that waits for its carrier."""
        run = self.engine.start("parcel", {"count": 0}, case_id=case)
        return run, f"/v1/callbacks/{run.id}/carrier"

    def settle(self):
        """Wait until all that goes on waits for somebody."""
        deadline = time.monotonic() + 60
        while any(run.state.status != "WAITING" for run in self.engine.in_flight()):
            assert time.monotonic() < deadline
            time.sleep(0.005)

    def close(self):
        self.client.close()
        self.service.close()


@pytest.fixture(scope="module")
def vendor():
    found = Vendor()
    yield found
    found.close()


def paid(case):
    return json.dumps({"type": "order.paid", "data": {"id": case}}).encode()


def refused(vendor, path, body, headers, status, kind):
    """Check that a message is refused, that this is in the log, and that nothing has changed."""
    vendor.settle()
    before = vendor.engine.last_seq()
    told = vendor.post(path, body, headers)
    problem(told, status, kind)
    assert vendor.engine.last_seq() == before
    lines = [json.loads(line) for line in vendor.log.getvalue().splitlines()]
    (line,) = [line for line in lines if line.get("request") == told.headers["x-request-id"]]
    assert (line["event"], line["status"], line["reason"]) == ("refused", status, kind)
    assert not any(secret in vendor.log.getvalue() for secret in (OLD, NEW, CARRIER))


def test_a_signed_webhook_starts_a_run_with_either_secret_while_it_is_changed(vendor):
    for case, secret in (("S-1", OLD), ("S-2", NEW)):
        told = vendor.post("/v1/webhooks/shop", paid(case), vendor.headers(secret, paid(case)))
        assert (told.status_code, told.json()) == (200, {"taken": 1, "known": False})
        assert vendor.engine.find("sale", case).wait("30 s").variables["book"] == case


def test_what_does_not_match_is_taken_and_starts_nothing(vendor):
    body = b'{"type": "order.seen", "data": {"id": "S-9"}}'

    assert vendor.post("/v1/webhooks/shop", body, vendor.headers(OLD, body)).json() == {"taken": 0, "known": False}
    with pytest.raises(ok.RunNotFound):
        vendor.engine.find("sale", "S-9")


def test_a_message_that_is_sent_again_is_known_and_a_copy_is_refused(vendor):
    body, first = paid("S-3"), vendor.headers(OLD, paid("S-3"), message_id="again", off=-2)
    assert vendor.post("/v1/webhooks/shop", body, first).json()["taken"] == 1

    refused(vendor, "/v1/webhooks/shop", body, first, 409, "signature-replayed")
    before = vendor.engine.last_seq()
    later = vendor.headers(OLD, body, message_id="again", off=-1)
    assert vendor.post("/v1/webhooks/shop", body, later).json() == {"taken": 0, "known": True}
    assert vendor.engine.last_seq() == before
    for copy in (first, later):
        refused(vendor, "/v1/webhooks/shop", body, copy, 409, "signature-replayed")


def test_a_signed_callback_completes_its_wait_once(vendor):
    run, path = vendor.waits("P-1")
    body, headers = b'{"signed_by": "Ada"}', vendor.headers(CARRIER, b'{"signed_by": "Ada"}')
    assert vendor.post(path, body, headers).json() == {"taken": 1, "known": False}

    # The run waits for it once more: a copy would do.
    refused(vendor, path, body, headers, 409, "signature-replayed")
    assert run.status != "COMPLETED"
    assert vendor.post(path, body, vendor.headers(CARRIER, body)).status_code == 200
    assert run.wait("30 s").variables["carrier"] == {"signed_by": "Ada"}
    refused(vendor, path, body, vendor.headers(CARRIER, body), 409, "run-has-ended")


def test_what_is_forged_stale_or_without_its_headers_is_refused_and_changes_nothing(vendor):
    _, callback = vendor.waits("P-2")
    for path, secret in (("/v1/webhooks/shop", OLD), (callback, CARRIER)):
        body = paid("never")
        good = vendor.headers(secret, body)
        for changed, kind in [
            ({"webhook-id": ""}, "signature-missing"),
            ({"webhook-timestamp": ""}, "signature-missing"),
            ({"webhook-signature": ""}, "signature-missing"),
            ({"webhook-signature": good["webhook-signature"][:-2]}, "signature-forged"),
            ({"webhook-signature": "v1," + "A" * 43 + "="}, "signature-forged"),
            ({"webhook-signature": signature("another-secret", good["webhook-id"], 1, body)}, "signature-forged"),
            ({"webhook-id": "another"}, "signature-forged"),
            ({"webhook-id": "a.b"}, "signature-malformed"),
            ({"webhook-timestamp": "yesterday"}, "signature-malformed"),
        ]:
            refused(vendor, path, body, {**good, **changed}, 401, kind)
        refused(vendor, path, body + b" ", good, 401, "signature-forged")
        for off in (-301, 3_600):
            refused(vendor, path, body, vendor.headers(secret, body, off=off), 401, "signature-stale")
        refused(vendor, path, b"{", vendor.headers(secret, b"{"), 400, "malformed-body")
        refused(vendor, path, b"NaN", vendor.headers(secret, b"NaN"), 400, "malformed-body")
        plain = {**vendor.headers(secret, body), "content-type": "text/plain"}
        refused(vendor, path, body, plain, 415, "not-json")


def test_one_vendors_secret_opens_no_other_door_and_says_nothing_of_runs(vendor):
    _, path = vendor.waits("P-3")
    sale = vendor.engine.start("sale", {"order": {"id": "S-4"}}, case_id="S-4").wait("30 s")
    body = b"{}"

    refused(vendor, path, body, vendor.headers(OLD, body), 401, "signature-forged")
    for run_id in ("0123456789abcdef", sale.id):
        elsewhere = f"/v1/callbacks/{run_id}/carrier"
        refused(vendor, elsewhere, body, vendor.headers(CARRIER, body), 401, "signature-forged")
    refused(vendor, path.replace("carrier", "other"), body, vendor.headers(CARRIER, body), 401, "signature-forged")
    refused(vendor, "/v1/webhooks/other", body, vendor.headers(OLD, body), 404, "webhook-not-found")


def test_a_large_body_is_refused_before_it_is_checked(vendor):
    body = b" " * ((1 << 20) + 1)

    refused(vendor, "/v1/webhooks/shop", body, vendor.headers(OLD, body), 413, "body-too-large")


def test_a_restart_knows_what_has_come(tmp_path):
    body = paid("S-1")
    first = Vendor(tmp_path / "a.duckdb")
    headers = first.headers(OLD, body)
    run, path = first.waits("P-1")
    called = first.headers(CARRIER, b"{}")
    assert first.post("/v1/webhooks/shop", body, headers).json()["taken"] == 1
    assert first.post(path, b"{}", called).json()["taken"] == 1
    first.close()

    again = Vendor(tmp_path / "a.duckdb")
    refused(again, "/v1/webhooks/shop", body, headers, 409, "signature-replayed")
    refused(again, path, b"{}", called, 409, "signature-replayed")
    assert again.post(path, b"{}", again.headers(CARRIER, b"{}")).json()["taken"] == 1
    assert again.engine.get(run.id).wait("30 s").status == "COMPLETED"
    again.close()


def test_a_trigger_that_makes_no_sense_or_whose_secret_is_not_there_is_not_deployed():
    def trigger(**settings):
        return ok.workflow("w", [ok.wait_for(callback="c")], triggers=[ok.Trigger("webhook", settings)])

    with ok.Engine(secrets={"shop_key": "hunter22"}) as engine:
        with pytest.raises(SecretError, match="Did you mean 'shop_key'"):
            engine.deploy(trigger(name="shop", secret="shop_kex"))
        for settings, said in [
            ({"name": "shop"}, "needs the names of the secrets"),
            ({"secret": "shop_key"}, "needs a name"),
            ({"name": "a/b", "secret": "shop_key"}, "without a slash"),
            ({"name": "shop", "callback": "c", "secret": "shop_key"}, "needs a name"),
            ({"name": "shop", "secrets": "shop_key"}, "Did you mean 'secret'"),
            ({"name": "shop", "secret": "shop_key", "match": "event ="}, "match|expression|parse|syntax"),
        ]:
            with pytest.raises(ok.WorkflowError, match=said):
                engine.deploy(trigger(**settings))
        assert engine.last_seq() == 0
