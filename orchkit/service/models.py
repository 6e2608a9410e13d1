"""What goes in and comes out, as JSON."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from orchkit.model.states import RunStatus

__all__ = ["Error", "Given", "HistoryRow", "Name", "Text"]

# A name in a request: printable, so that it reads well in logs and tables.
Name = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]
Text = Annotated[str, StringConstraints(min_length=1, max_length=2_000, pattern=r"^[^\x00]+$")]
RunId = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{16}$")]
JsonObject = dict[str, Any]


class Given(BaseModel):
    """What a request holds: nothing else than what is named."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Told(BaseModel):
    """What an answer holds."""

    model_config = ConfigDict(frozen=True)


class Error(Told):
    """What went wrong in a run."""

    error_class: str = Field(examples=["transient"])
    type: str = Field(examples=["TransientError"])
    message: str | None = Field(examples=["no answer"])
    node: str | None = Field(default=None, examples=["ship"])


class Run(Told):
    """An execution of a workflow for a case."""

    run_id: str = Field(examples=["23cfa340882e3ae5"])
    case_id: str = Field(examples=["A-1"])
    workflow: str = Field(examples=["order"])
    version: str | None = Field(examples=["1"])
    digest: str
    status: RunStatus
    started_at: datetime
    ended_at: datetime | None
    error: Error | None


class RunDetail(Run):
    """A run with its variables."""

    variables: JsonObject


class RunPage(Told):
    """Some runs, and where the next ones are."""

    runs: list[Run]
    next: str | None = Field(description="The cursor of the next page; null where this is the last.")


class StartRun(Given):
    """A run to start."""

    workflow: Name = Field(description="A workflow's name; its current version is run.", examples=["order"])
    case_id: Name | None = Field(
        default=None,
        description="The caller's key. The same case has one run: to ask again starts nothing and tells that run.",
        examples=["A-1"],
    )
    inputs: JsonObject = Field(default_factory=dict, examples=[{"address": "Oslo"}])


class Cancel(Given):
    """Why a run shall end."""

    reason: Text = Field(default="cancelled", examples=["The customer has changed her mind."])


class Retry(Given):
    """How a run that has failed shall go on."""

    variables: JsonObject = Field(default_factory=dict, description="Mended ones.", examples=[{"address": "Rome"}])
    from_start: bool = Field(default=False, description="Whether it begins anew.")
    reason: Text | None = Field(default=None, examples=["The customer has told us."])
    by: Name | None = Field(default=None, description="Who has decided it; the token's name where nobody is named.")


class HistoryRow(Told):
    """A change of state."""

    seq: int
    run_id: str
    case_id: str
    workflow: str
    digest: str
    step_id: str | None
    node: str | None
    kind: str
    status: str
    attempt: int
    occurred_at: datetime
    duration_s: float | None
    resource: str | None
    error_class: str | None
    error_type: str | None
    error_message: str | None
    trace_id: str | None
    span_id: str | None
    payload: Any = Field(description="What belongs to it; null for most.")


class History(Told):
    """Rows of the history, in order."""

    rows: list[HistoryRow]
    next: int | None = Field(description="What `after` is for the next rows; null where these are the last.")


class Step(Told):
    """An attempt of a step."""

    activity: str
    step_id: str
    attempt: int
    status: str
    enabled: datetime | None
    started: datetime | None
    completed: datetime | None
    role: str | None
    resource: str | None
    error_class: str | None
    error_type: str | None
    error_message: str | None


class Steps(Told):
    """The attempts of a run, in order."""

    steps: list[Step]


class WorkflowSummary(Told):
    """The current version of a workflow."""

    name: str = Field(examples=["order"])
    version: str = Field(examples=["1"])
    digest: str
    description: str


class Workflows(Told):
    """The workflows of a store."""

    workflows: list[WorkflowSummary]


class WorkflowDetail(WorkflowSummary):
    """A workflow's definition."""

    inputs: JsonObject = Field(description="A JSON Schema a variable.")
    definition: JsonObject = Field(description="The canonical form, which `Workflow.from_json` reads.")


class Version(Told):
    """A version that the store knows."""

    digest: str
    version: str | None
    created_at: datetime
    current: bool


class Versions(Told):
    """The versions of a workflow, the newest first."""

    versions: list[Version]


class Health(Told):
    """How the service is."""

    status: Literal["ok"]
