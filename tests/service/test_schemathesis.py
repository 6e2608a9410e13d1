"""A client that this project did not write drives the service: what its OpenAPI says, holds."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from pathlib import Path

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode

import orchkit as ok
from tests.service.conftest import Served

PLENTY = ok.Limits(requests_per_s=1e6, burst=1_000_000, strangers_per_s=1e6, strangers_burst=1_000_000)
FEW = settings(
    max_examples=5,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate],
)


@pytest.fixture(scope="module")
def api():
    """A service with something of each kind, so that there is something to be found."""
    served = Served(limits=PLENTY)
    for case in ("D-1", "D-2"):
        served.engine.run("order", {"address": "?"}, case_id=case)
        served.engine.start("claim", {"amount": 7}, case_id=case)
        served.engine.start("parcel", {}, case_id=case)
    served.engine.schedule(served.engine.current("parcel"), "nightly", cron="30 2 * * *")
    yield served
    served.close()


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
def test_no_request_breaks_the_service_or_what_its_openapi_says(api, mode):
    schema = schemathesis.openapi.from_url(f"{api.service.url}/openapi.json")
    headers = {"Authorization": f"Bearer {api.tokens['admin']}"}
    operations = [found.ok() for found in schema.get_all_operations()]

    for operation in operations:

        @FEW
        @given(case=operation.as_strategy(generation_mode=mode))
        def validate(case):
            case.call_and_validate(headers=headers, timeout=60)

        with contextlib.suppress(Unsatisfiable):  # of what takes nothing, nothing can be wrong
            validate()

    assert len(operations) >= 40
    assert [line for line in api.lines if line["event"] == "failed"] == []


@pytest.mark.slow
def test_its_command_line_finds_nothing_in_all_its_phases(api):
    command = [str(Path(sys.executable).with_name("st")), "run", f"{api.service.url}/openapi.json", "--no-color"]
    options = [
        "--generation-deterministic",
        "--suppress-health-check=all",
        "--max-examples=100",
        "--request-timeout=60",
    ]
    headers = ["-H", f"Authorization: Bearer {api.tokens['admin']}"]

    told = subprocess.run([*command, *options, *headers], capture_output=True, text=True, timeout=600, check=False)

    assert told.returncode == 0, told.stdout[-5_000:]
    assert [line for line in api.lines if line["event"] == "failed"] == []
