"""The workflows read well, and name only handlers and services that exist."""

from __future__ import annotations

from pathlib import Path

import pytest

import orchkit as ok
import sample_processes
from orchkit.executors.python import handlers_by_name
from orchkit.model import Task, all_nodes
from sample_processes import handlers
from sample_processes.services import SERVICES

NAMES = [
    "document_processing",
    "onboarding",
    "order_lines",
    "order_notification",
    "order_routing",
    "order_to_cash",
    "travel_booking",
]


def tasks(workflow: ok.Workflow) -> list[Task]:
    return [node for node in all_nodes(workflow) if isinstance(node, Task)]


def test_every_file_is_tested_here() -> None:
    folder = Path(sample_processes.__file__).parent
    assert sorted(path.stem for path in folder.glob("*.yaml")) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_workflow_has_the_name_of_its_file_and_says_what_it_is_for(name: str) -> None:
    workflow = sample_processes.workflow(name)
    assert workflow.name == name
    assert workflow.description
    assert all(task.description for task in tasks(workflow))


@pytest.mark.parametrize("name", NAMES)
def test_every_python_task_has_its_handler(name: str) -> None:
    python = {task.name for task in tasks(sample_processes.workflow(name)) if task.executor == "python"}
    assert python <= handlers_by_name(handlers).keys()


@pytest.mark.parametrize("name", NAMES)
def test_every_http_task_asks_a_service_that_exists(name: str) -> None:
    asked = {task.settings["url"] for task in tasks(sample_processes.workflow(name)) if task.executor == "http"}
    offered = {f"${{systems.{path.split('/')[1]}}}/{path.split('/')[2]}" for path in SERVICES}
    assert asked <= offered | {"${systems.vendor}/documents/${submission.id}"}


@pytest.mark.parametrize("name", NAMES)
def test_a_workflow_survives_being_written(name: str) -> None:
    workflow = sample_processes.workflow(name)
    assert ok.read_workflow(ok.write_workflow(workflow)) == workflow
