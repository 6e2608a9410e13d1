from __future__ import annotations

import pytest


def pytest_addoption(parser):
    parser.addoption("--slow", action="store_true", help="run the longer proofs too")


def pytest_collection_modifyitems(config, items):
    if config.getoption("--slow"):
        return
    skip = pytest.mark.skip(reason="a longer proof: --slow runs it")
    for item in items:
        if item.get_closest_marker("slow"):
            item.add_marker(skip)
