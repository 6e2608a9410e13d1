"""From exceptions and HTTP codes to transient, permanent and partial: one table."""

from __future__ import annotations

import concurrent.futures

import httpx

from orchkit.errors import OrchkitError, PartialError, PermanentError, TransientError
from orchkit.events import Failure
from orchkit.model.states import ErrorClass

__all__ = ["TRANSIENT_CODES", "failure_of", "failure_of_response"]

# RFC 9110 and RFC 6585: what the same request may overcome later.
TRANSIENT_CODES = frozenset({408, 425, 429, 500, 502, 503, 504})

# The first entry that fits decides. What is not listed is transient: a retry is safe, since every attempt has the
# same idempotency key; errors of programming are not cured by one.
_CLASSES: tuple[tuple[type[BaseException], ErrorClass], ...] = (
    (TransientError, ErrorClass.TRANSIENT),
    (PartialError, ErrorClass.PARTIAL),
    (PermanentError, ErrorClass.PERMANENT),
    (OrchkitError, ErrorClass.PERMANENT),
    (httpx.TimeoutException, ErrorClass.TIMEOUT),
    (httpx.UnsupportedProtocol, ErrorClass.PERMANENT),
    (httpx.TransportError, ErrorClass.TRANSIENT),
    (httpx.InvalidURL, ErrorClass.PERMANENT),
    (TimeoutError, ErrorClass.TIMEOUT),
    (concurrent.futures.CancelledError, ErrorClass.TRANSIENT),
    (ConnectionError, ErrorClass.TRANSIENT),
    (FileExistsError, ErrorClass.PERMANENT),
    (FileNotFoundError, ErrorClass.PERMANENT),
    (IsADirectoryError, ErrorClass.PERMANENT),
    (NotADirectoryError, ErrorClass.PERMANENT),
    (PermissionError, ErrorClass.PERMANENT),
    (ArithmeticError, ErrorClass.PERMANENT),
    (AssertionError, ErrorClass.PERMANENT),
    (AttributeError, ErrorClass.PERMANENT),
    (ImportError, ErrorClass.PERMANENT),
    (LookupError, ErrorClass.PERMANENT),
    (NameError, ErrorClass.PERMANENT),
    (NotImplementedError, ErrorClass.PERMANENT),
    (SyntaxError, ErrorClass.PERMANENT),
    (TypeError, ErrorClass.PERMANENT),
    (ValueError, ErrorClass.PERMANENT),
)

_MAX_MESSAGE = 2_000


def failure_of(error: BaseException) -> Failure:
    """Return what an exception means.

    Examples
    --------
    >>> failure_of(ConnectionResetError("by peer")).error_class.value
    'transient'
    >>> failure_of(KeyError("country")).error_class.value
    'permanent'
    """
    answered = getattr(error, "failure", None)
    if isinstance(answered, Failure):
        return answered
    error_class = next((found for kind, found in _CLASSES if isinstance(error, kind)), ErrorClass.TRANSIENT)
    retry_after_s = getattr(error, "retry_after_s", None) or 0.0
    return Failure(error_class, type(error).__name__, str(error)[:_MAX_MESSAGE], retry_after_s=retry_after_s)


def failure_of_response(code: int, message: str, retry_after_s: float = 0.0) -> Failure:
    """Return what an HTTP code of 400 or more means; its type is the code as text.

    Examples
    --------
    >>> failure_of_response(503, "busy").error_class.value, failure_of_response(404, "").error_class.value
    ('transient', 'permanent')
    """
    error_class = ErrorClass.TRANSIENT if code in TRANSIENT_CODES else ErrorClass.PERMANENT
    return Failure(error_class, str(code), message[:_MAX_MESSAGE], retry_after_s=retry_after_s)
