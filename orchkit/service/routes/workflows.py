"""Workflows: what can be run."""

from __future__ import annotations

import json
from typing import Annotated, Any

from fastapi import Path, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from orchkit.errors import WorkflowError
from orchkit.model import Workflow, read_workflow
from orchkit.service import fields
from orchkit.service.backend import Backend
from orchkit.service.frames import records
from orchkit.service.models import Versions, WorkflowDetail, Workflows
from orchkit.service.problems import Refusal
from orchkit.service.roles import Role
from orchkit.service.routing import BackendOf, Caller, Malformed, answer, needs, router

__all__ = ["find_workflow", "routes"]

routes = router("workflows")

WorkflowName = Annotated[
    fields.PathName,
    Path(description="A workflow's name.", examples=["order"]),
]

_NAMES = "SELECT DISTINCT workflow FROM definitions ORDER BY workflow"
_VERSIONS = """
SELECT digest, version, created_at FROM definitions WHERE workflow = ? ORDER BY created_at DESC, rowid DESC
"""
_YAML = ("application/yaml", "application/x-yaml", "text/yaml")
_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "application/yaml": {
                "schema": {"type": "string", "minLength": 1, "description": "The workflow's file."},
                "example": "workflow: order\nversion: '2'\nsteps:\n- task: ship\n",
            }
        },
    }
}


def find_workflow(backend: Backend, name: str) -> Workflow:
    """Return the current version of a workflow.

    Raises
    ------
    Refusal
        The store knows none of that name: 404.
    """
    try:
        return backend.engine.current(name)
    except WorkflowError as error:
        raise Refusal(404, "workflow-not-found", str(error)) from None


@routes.get("/v1/workflows", response_model=Workflows, **needs(Role.READ, "list_workflows"))
def list_workflows(backend: BackendOf) -> Response:
    """List the workflows that the store knows, each with its current version."""
    found = [backend.engine.current(name) for name in backend.engine.sql(_NAMES)["workflow"]]
    return answer(backend, {"workflows": [_summary(workflow) for workflow in found]})


@routes.get("/v1/workflows/{name}", response_model=WorkflowDetail, **needs(Role.READ, "get_workflow", 404))
def get_workflow(backend: BackendOf, name: WorkflowName) -> Response:
    """Return a workflow's current definition."""
    found = find_workflow(backend, name)
    return answer(backend, {**_summary(found), "inputs": dict(found.inputs), "definition": json.loads(found.to_json())})


@routes.get("/v1/workflows/{name}/versions", response_model=Versions, **needs(Role.READ, "list_versions", 404))
def list_versions(backend: BackendOf, name: WorkflowName) -> Response:
    """List the versions of a workflow that were deployed or run, the newest first."""
    current = find_workflow(backend, name).digest
    rows = records(backend.engine.sql(_VERSIONS, [name]))
    return answer(backend, {"versions": [{**row, "current": row["digest"] == current} for row in rows]})


_deploy = needs(Role.ADMIN, "deploy_workflow", 409, 413, 415)
_deploy["openapi_extra"] |= _BODY


@routes.put("/v1/workflows", response_model=WorkflowDetail, **_deploy)
async def deploy_workflow(backend: BackendOf, caller: Caller, request: Request) -> Response:
    """Make a version the current one of its workflow; runs keep the version that they were started with."""
    if not backend.deploys:
        raise Refusal(403, "deploys-off", "This service takes no workflows: they come from its folder alone.")
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if kind not in _YAML:
        raise Refusal(415, "not-yaml", "The body is a workflow's file: send Content-Type: application/yaml.")
    try:
        text = (await request.body()).decode("utf-8")
    except UnicodeDecodeError:
        raise Malformed("The body is not UTF-8.") from None
    return await run_in_threadpool(_deployed, backend, text, caller.name)


def _deployed(backend: Backend, text: str, by: str) -> Response:
    # With a line break it is a text in any case, never the path of a file.
    found = read_workflow(f"{text}\n")
    backend.engine.deploy(found, by=by)
    return answer(backend, {**_summary(found), "inputs": dict(found.inputs), "definition": json.loads(found.to_json())})


def _summary(workflow: Workflow) -> dict[str, Any]:
    return {
        "name": workflow.name,
        "version": workflow.version,
        "digest": workflow.digest,
        "description": workflow.description,
    }
