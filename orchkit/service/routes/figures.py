"""Figures: how the workflows do, and what fails in them."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query
from starlette.responses import Response

from orchkit.analysis import failures, metrics
from orchkit.service import fields, models
from orchkit.service.frames import records
from orchkit.service.roles import Role
from orchkit.service.routing import BackendOf, answer, needs, router

__all__ = ["routes"]

routes = router("figures")

Workflow = Annotated[fields.Name | None, Query(description="Only this workflow's runs.")]
Since = Annotated[fields.Moment | None, Query(description="Leaves out the runs that ended before this time.")]


@routes.get("/v1/metrics", response_model=models.Metrics, **needs(Role.READ, "get_metrics"))
async def get_metrics(backend: BackendOf, workflow: Workflow = None, since: Since = None) -> Response:
    """Return rates, durations and queues, one row per workflow and metric."""
    found = await backend.desk.do(lambda: records(metrics(backend.engine.log(workflow, since=since))))
    return answer(backend, {"metrics": found})


@routes.get("/v1/failures", response_model=models.Failures, **needs(Role.READ, "get_failures"))
async def get_failures(backend: BackendOf, workflow: Workflow = None, since: Since = None) -> Response:
    """Return the kinds of failure, the most harmful first."""
    found = await backend.desk.do(lambda: records(failures(backend.engine.log(workflow, since=since))))
    return answer(backend, {"failures": found})
