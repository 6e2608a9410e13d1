from __future__ import annotations

from pathlib import Path

import pytest

import orchkit as ok

SUITE = """\
*** Test Cases ***
Order Is Entered
    Should Be Equal    ${customer}    Ada
"""


@pytest.fixture
def suite(tmp_path):
    path = tmp_path / "enter_order.robot"
    path.write_text(SUITE)
    return path


def run(suite, customer, **more):
    settings = {
        "suite": str(suite),
        "variables": {"customer": "${customer}"},
        "output": str(suite.parent / "logs"),
        **more,
    }
    with ok.Engine() as engine:
        run = engine.run(
            ok.workflow("w", [ok.task("bot", executor="robot", settings=settings)]),
            {"customer": customer},
            case_id="A",
        )
        return run.status.value, run.variables.get("bot"), run.error


def test_a_suite_runs_as_a_bot_and_its_log_is_kept(suite):
    status, result, _ = run(suite, "Ada")

    assert (status, result["passed"], result["failed"]) == ("COMPLETED", 1, 0)
    assert "Order Is Entered" in Path(result["log"]).read_text()


def test_a_failed_test_is_named_with_its_log(suite):
    status, _, error = run(suite, "Bob")

    assert (status, error.error_class.value) == ("FAILED", "permanent")
    assert error.message.startswith("1 of 1 failed; Order Is Entered: Bob != Ada (")


def test_a_suite_that_is_not_there_is_said(tmp_path):
    _, _, error = run(tmp_path / "nothing.robot", "Ada")

    assert error.message == f"There is no suite {tmp_path / 'nothing.robot'}."
