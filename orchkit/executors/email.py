"""E-mail tasks: one message, over SMTP."""

from __future__ import annotations

import functools
import smtplib
import ssl
from collections.abc import Callable
from email.message import EmailMessage
from typing import Any

from orchkit.errors import PartialError, PermanentError, TransientError
from orchkit.executors.base import Attempt, settings_problem
from orchkit.model.expressions import render
from orchkit.model.nodes import Task

__all__ = ["EmailExecutor"]

_REQUIRED = ("host", "sender", "to", "subject")
_SETTINGS = frozenset({*_REQUIRED, "port", "security", "username", "password", "cc", "reply_to", "text", "html"})
_DEFAULT_TIMEOUT_S = 30.0
_PERMANENT_CODE = 500


class EmailExecutor:
    """Sends the message of a task's settings; the result has ``textid`` and ``accepted``.

    Settings: ``host``, ``port`` (587), ``security`` (``starttls``, ``tls`` or ``none``), ``username``, ``password``,
    ``sender``, ``to`` and ``cc`` (an address or a list), ``reply_to``, ``subject``, ``text``, ``html``. The
    ``Message-ID`` is the same for every attempt, so that a mail system can drop a second copy. Codes of 500 and more
    are permanent, other refusals and broken connections transient; some refused recipients are a partial error.
    """

    def problem_with(self, task: Task) -> Exception | None:
        """Return why this task cannot be run here, or None."""
        return settings_problem(task, required=_REQUIRED, known=_SETTINGS)

    def prepare(self, attempt: Attempt) -> Callable[[], Any]:
        """Return the message, ready to be sent."""
        settings = dict(render(dict(attempt.task.settings), attempt.names))
        timeout_s = attempt.task.timeout_s or _DEFAULT_TIMEOUT_S
        return functools.partial(_send, _message(settings, attempt.idempotency_key), settings, timeout_s)


def _message(settings: dict[str, Any], key: str) -> EmailMessage:
    message = EmailMessage()
    message["From"] = str(settings["sender"])
    message["To"] = _addresses(settings["to"])
    message["Subject"] = str(settings["subject"])
    if "cc" in settings:
        message["Cc"] = _addresses(settings["cc"])
    if "reply_to" in settings:
        message["Reply-To"] = _addresses(settings["reply_to"])
    name = "".join(letter if letter.isalnum() else "." for letter in key)
    message["Message-ID"] = f"<{name}@orchkit>"
    message.set_content(str(settings.get("text", "")))
    if "html" in settings:
        message.add_alternative(str(settings["html"]), subtype="html")
    return message


def _addresses(given: object) -> str:
    return ", ".join(str(one) for one in given) if isinstance(given, list) else str(given)


def _send(message: EmailMessage, settings: dict[str, Any], timeout_s: float) -> dict[str, Any]:
    host, port = str(settings["host"]), int(settings.get("port", 587))
    security = settings.get("security", "starttls")
    try:
        with _connected(host, port, security, timeout_s) as server:
            if "username" in settings:
                server.login(str(settings["username"]), str(settings.get("password", "")))
            refused = server.send_message(message)
    except smtplib.SMTPRecipientsRefused as error:
        codes = [code for code, _ in error.recipients.values()]
        raise _refusal(min(codes), f"{host} refused every recipient: {error.recipients}") from error
    except smtplib.SMTPResponseException as error:
        text = error.smtp_error.decode(errors="replace") if isinstance(error.smtp_error, bytes) else error.smtp_error
        raise _refusal(error.smtp_code, f"{host} answered {error.smtp_code}: {text}") from error
    except smtplib.SMTPNotSupportedError as error:
        text = f"{host}: {error}"
        raise PermanentError(text) from error
    except smtplib.SMTPException as error:
        text = f"{host}: {error}"
        raise TransientError(text) from error
    if refused:
        text = f"{host} refused some recipients."
        raise PartialError(text, failed=sorted(refused))
    return {"message_id": message["Message-ID"], "accepted": len(message["To"].split(","))}


def _connected(host: str, port: int, security: str, timeout_s: float) -> smtplib.SMTP:
    if security == "tls":
        return smtplib.SMTP_SSL(host, port, timeout=timeout_s, context=ssl.create_default_context())
    server = smtplib.SMTP(host, port, timeout=timeout_s)
    if security == "starttls":
        server.starttls(context=ssl.create_default_context())
    return server


def _refusal(code: int, text: str) -> TransientError | PermanentError:
    return PermanentError(text) if code >= _PERMANENT_CODE else TransientError(text)
