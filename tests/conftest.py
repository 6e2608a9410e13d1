from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings

# One JupyterLab for all browser tests, one demo, one service a file: these tests share what takes seconds to start.
TOGETHER = ("tests/browser/", "tests/demo/", "tests/service/", "tests/simulation/test_workers.py")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    from xdist.scheduler import LoadScopeScheduling  # noqa: PLC0415 -- where tests are given to several workers

    class Scheduling(LoadScopeScheduling):
        """Gives a test at a time to whoever is free, and what belongs together to one."""

        def _split_scope(self, nodeid):
            path = nodeid.partition("::")[0]
            if not path.startswith(TOGETHER):
                return nodeid
            return "tests/browser" if path.startswith("tests/browser/") else path

    return Scheduling(config, log)


def pytest_addoption(parser):
    parser.addoption("--slow", action="store_true", help="run the longer proofs too")


def pytest_configure(config):
    # How long an example takes says nothing on a busy machine. What decides whether a change lands is the same each
    # time; the longer proofs look at new examples in each run.
    settings.register_profile(
        "orchkit",
        deadline=None,
        derandomize=not config.getoption("--slow"),
        suppress_health_check=[HealthCheck.too_slow],
    )
    settings.load_profile("orchkit")


def pytest_collection_modifyitems(config, items):
    if config.getoption("--slow"):
        return
    skip = pytest.mark.skip(reason="a longer proof: --slow runs it")
    for item in items:
        if item.get_closest_marker("slow"):
            item.add_marker(skip)
