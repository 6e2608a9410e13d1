from __future__ import annotations

import contextlib
import socket
from email import message_from_bytes

import pytest
from aiosmtpd.controller import Controller

import orchkit as ok


class Mailbox:
    """Takes mail, and refuses what it is told to."""

    def __init__(self):
        self.received, self.answers, self.refused = [], [], {}

    async def handle_RCPT(self, _server, _session, envelope, address, _options):  # noqa: N802 -- aiosmtpd calls it so
        if address in self.refused:
            return self.refused[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server, _session, envelope):  # noqa: N802
        self.received.append(message_from_bytes(envelope.content))
        return self.answers.pop(0) if self.answers else "250 OK"


@pytest.fixture
def mailbox():
    box = Mailbox()
    controller = _started(box)
    box.port = controller.port
    yield box
    controller.stop()


def _started(box):
    """Start a server on a port that was free a moment ago; another program may be there first."""
    for _ in range(20):
        with socket.socket() as found:
            found.bind(("127.0.0.1", 0))
            port = found.getsockname()[1]
        controller = Controller(box, hostname="127.0.0.1", port=port, ready_timeout=60)
        with contextlib.suppress(OSError):
            controller.start()
            return controller
    pytest.fail("there is no free port")


def send(mailbox, **more):
    settings = {
        "host": "127.0.0.1",
        "port": mailbox.port,
        "security": "none",
        "sender": "shop@example.org",
        "to": "${order.email}",
        "subject": "Order ${order.id}",
        "text": "Thank you.",
        **more,
    }
    retry = ok.Retry(max_attempts=2, initial_delay="0s", multiplier=1)
    workflow = ok.workflow("w", [ok.task("tell", executor="email", settings=settings)], retry=retry)
    with ok.Engine() as engine:
        run = engine.run(workflow, {"order": {"id": 7, "email": "ada@example.org"}}, case_id="A")
        return run.status.value, run.variables.get("tell"), run.error


def test_the_message_arrives_as_it_was_written(mailbox):
    status, result, _ = send(mailbox, html="<b>Thank you.</b>")

    assert status == "COMPLETED"
    (message,) = mailbox.received
    assert (message["To"], message["Subject"]) == ("ada@example.org", "Order 7")
    assert [part.get_content_type() for part in message.get_payload()] == ["text/plain", "text/html"]
    assert result == {"message_id": message["Message-ID"], "accepted": 1}


def test_a_second_attempt_has_the_same_message_id(mailbox):
    mailbox.answers = ["451 try later"]

    assert send(mailbox)[0] == "COMPLETED"
    assert len({message["Message-ID"] for message in mailbox.received}) == 1
    assert len(mailbox.received) == 2


def test_a_refusal_for_good_is_permanent(mailbox):
    mailbox.answers = ["550 no such mailbox"]

    status, _, error = send(mailbox)

    assert (status, error.error_class.value) == ("FAILED", "permanent")
    assert error.message == "127.0.0.1 answered 550: no such mailbox"


def test_a_refused_recipient_among_others_is_a_partial_error(mailbox):
    mailbox.refused = {"bob@example.org": "550 unknown"}

    _, _, error = send(mailbox, cc=["bob@example.org", "eve@example.org"])

    assert error.error_class.value == "partial"


def test_a_header_cannot_be_smuggled_in(mailbox):
    status, _, error = send(mailbox, subject="Hi\nBcc: everyone@example.org")

    assert (status, error.error_class.value, mailbox.received) == ("FAILED", "permanent", [])


def test_nobody_there_is_transient(mailbox):
    _, _, error = send(mailbox, port=1)

    assert error.error_class.value == "transient"
