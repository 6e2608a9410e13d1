from __future__ import annotations

import io
import json

import httpx
import pytest

import orchkit as ok

FORM = {"type": "object", "properties": {"approved": {"type": "boolean"}}, "required": ["approved"]}
SECRET = "hunter22-of-the-crm"


def ship(address):
    if address == "?":
        raise ok.TransientError("the carrier does not answer")
    if address == "secret":
        raise ok.PermanentError(f"401 for Bearer {SECRET}")
    return f"sent to {address}"


ORDER = ok.workflow(
    "order",
    [ok.task("ship", retry={"max_attempts": 2, "initial_delay": "0 s"})],
    inputs={"address": {"type": "string"}},
)
PARCEL = ok.workflow("parcel", [ok.wait_for(callback="carrier")])
CLAIM = ok.workflow(
    "claim",
    [ok.task("approve", executor="human", role="manager", settings={"form": FORM, "title": "Approve ${amount} euros"})],
)
PAYMENT = ok.workflow("payment", [ok.wait_for(event="paid", match="event.order == order")])


class Served:
    """A service with an engine of its own, and a client for each role."""

    def __init__(self, **settings):
        self.log = io.StringIO()
        self.service = ok.Service(None, handlers=[ship], port=0, log=self.log, secrets={"crm": SECRET}, **settings)
        self.engine = self.service.engine
        tokens = self.service.backend.tokens
        self.tokens = {role: tokens.create(role, role) for role in ("read", "operate", "admin")}
        for workflow in (ORDER, PARCEL, CLAIM, PAYMENT):
            self.engine.deploy(workflow)
        self.clients = {role: self.client(token) for role, token in self.tokens.items()}

    def client(self, token=None, **settings):
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        return httpx.Client(base_url=self.service.url, headers=headers, timeout=30, **settings)

    @property
    def lines(self):
        return [json.loads(line) for line in self.log.getvalue().splitlines()]

    def close(self):
        for client in self.clients.values():
            client.close()
        self.service.close()


@pytest.fixture(scope="module")
def served():
    found = Served()
    yield found
    found.close()


@pytest.fixture
def operate(served):
    return served.clients["operate"]


@pytest.fixture
def read(served):
    return served.clients["read"]


@pytest.fixture
def admin(served):
    return served.clients["admin"]


def problem(answer, status, kind):
    """Check that an answer is a problem of a kind, and return it."""
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json"), answer.text
    told = answer.json()
    assert (told["status"], told["type"]) == (status, f"urn:orchkit:problem:{kind}"), told
    assert {"type", "title", "status", "detail", "instance"} <= set(told)
    return told
