from __future__ import annotations

import pytest

import orchkit as ok
from orchkit.executors import failure_of


@pytest.mark.parametrize(
    ("error", "error_class"),
    [
        (ok.TransientError("busy"), "transient"),
        (ok.PermanentError("no"), "permanent"),
        (ok.PartialError("some"), "partial"),
        (TimeoutError("slow"), "timeout"),
        (ConnectionResetError("by peer"), "transient"),
        (OSError("the disk is busy"), "transient"),
        (RuntimeError("who knows"), "transient"),
        (FileNotFoundError("order.pdf"), "permanent"),
        (KeyError("country"), "permanent"),
        (TypeError("2 positional arguments"), "permanent"),
        (ValueError("qty"), "permanent"),
        (ZeroDivisionError("division"), "permanent"),
    ],
)
def test_an_exception_has_a_class(error, error_class):
    assert failure_of(error).error_class == error_class


def test_a_transient_error_may_ask_for_a_delay():
    assert failure_of(ok.TransientError("busy", retry_after_s=5)).retry_after_s == 5


def test_a_message_is_cut():
    assert len(failure_of(ValueError("x" * 10_000)).message) == 2_000
