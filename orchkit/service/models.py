"""What goes in and comes out, as JSON."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, StrictBool, StringConstraints

from orchkit.model.schedule import CatchUp, Overlap
from orchkit.model.states import RunStatus
from orchkit.service.fields import By, Given, JsonObject, Moment, Name, Roles, RunId, Scalar, Span, Text, Told
from orchkit.service.roles import Role


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
    next: str | None = Field(description="The cursor of the next page; null on the last page.")


class StartRun(Given):
    """A run to start."""

    workflow: Name = Field(description="A workflow's name; its current version is run.", examples=["order"])
    case_id: Name | None = Field(
        default=None,
        description="The caller's key for the case. The same case has one run: asking again returns that run.",
        examples=["A-1"],
    )
    inputs: JsonObject = Field(default_factory=dict, examples=[{"address": "Oslo"}])


class Cancel(Given):
    """Why a run is cancelled."""

    reason: Text = Field(default="cancelled", examples=["The customer has changed her mind."])


class Retry(Given):
    """How a run that has failed continues."""

    variables: JsonObject = Field(
        default_factory=dict, description="Variables to change before it continues.", examples=[{"address": "Rome"}]
    )
    from_start: StrictBool = Field(
        default=False, description="Whether it starts from the beginning, not from the step that failed."
    )
    reason: Text | None = Field(default=None, examples=["The customer has told us."])
    by: By = None


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
    payload: Any = Field(description="Further details; null for most rows.")


class History(Told):
    """Rows of the history, in order."""

    rows: list[HistoryRow]
    next: int | None = Field(description="The value of `after` for the next rows; null if these are the last.")


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

    inputs: JsonObject = Field(description="One JSON Schema per variable.")
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
    """The state of the service."""

    status: Literal["ok"]


class CompleteCallback(Given):
    """A callback, with its result."""

    callback: Name = Field(description="The callback's name, or its node's.", examples=["carrier"])
    payload: Any = Field(default=None, description="A JSON value.", examples=[{"signed_by": "Ada"}])


class FailCallback(Given):
    """A callback that has failed, and why."""

    callback: Name = Field(description="The callback's name, or its node's.", examples=["carrier"])
    message: Text = Field(default="failed", examples=["The parcel is lost."])


class PublishEvent(Given):
    """An event."""

    event: Name = Field(description="The name of the event, as waits and triggers have it.", examples=["paid"])
    payload: Any = Field(default=None, description="A JSON value.", examples=[{"order": "A-1", "amount": 7}])
    message_id: Name | None = Field(default=None, description="Events with the same id count once.")


class Taken(Told):
    """How many runs took an event."""

    taken: int = Field(ge=0)


class Receipt(Told):
    """The effect of a signed message."""

    taken: int = Field(ge=0, description="How many runs took it.")
    known: bool = Field(description="Whether it had come before; then nothing was done.")


class WorkItem(Told):
    """What waits for a person."""

    item_id: str
    run_id: str
    case_id: str
    workflow: str
    task: str
    title: Any
    instructions: Any
    role: str | None
    assignee: str | None
    claimed_by: str | None
    created: datetime
    due: datetime | None
    overdue: bool
    data: Any = Field(description="What is shown.")
    form: Any = Field(description="A JSON Schema that the answer must meet.")


class WorkItems(Told):
    """Open work items, and how many there are."""

    items: list[WorkItem]
    total: int


class Who(Given):
    """The person who acts."""

    by: By = None


class ClaimItem(Who):
    """Who claims a work item."""

    roles: Roles = None


class CompleteItem(ClaimItem):
    """The answers to a form."""

    data: Any = Field(default=None, examples=[{"approved": True}])


class RejectItem(ClaimItem):
    """Why a work item is refused."""

    reason: Text = Field(examples=["Not my department."])


class DeadLetter(Told):
    """A run that waits for a decision."""

    run_id: str
    case_id: str
    workflow: str
    version: str | None
    status: RunStatus
    node: str
    error_class: str | None
    error_type: str | None
    error_message: str | None
    attempts: int
    inputs: JsonObject
    since: datetime


class DeadLetters(Told):
    """Dead letters, and how many there are."""

    letters: list[DeadLetter]
    total: int


class Discard(Given):
    """Why a dead letter is given up."""

    reason: Text = Field(examples=["The customer has withdrawn."])
    by: By = None


class _Many(Given):
    run_ids: list[RunId] = Field(min_length=1, max_length=1_000)


class RetryMany(_Many):
    """Runs to continue, and how."""

    variables: JsonObject = Field(default_factory=dict)
    from_start: StrictBool = False
    reason: Text | None = None
    by: By = None


class DiscardMany(_Many):
    """Runs to give up, and why."""

    reason: Text
    by: By = None


class Decision(Told):
    """The outcome for one run."""

    run_id: str
    accepted: bool
    problem: str | None


class Decisions(Told):
    """The outcomes, one per run."""

    decisions: list[Decision]


class Schedule(Told):
    """What starts runs at fixed times."""

    schedule: str
    workflow: str
    version: str | None
    when: str
    overlap: Overlap
    catch_up: CatchUp
    paused: bool
    last: datetime | None
    next: datetime | None
    running: int
    queued: int


class Schedules(Told):
    """The schedules."""

    schedules: list[Schedule]


class PutSchedule(Given):
    """When runs of a workflow are due: by ``cron`` or ``every``."""

    workflow: Name = Field(examples=["report"])
    cron: Annotated[str, StringConstraints(min_length=9, max_length=100)] | None = Field(
        default=None, description="Five fields, or six with seconds before them.", examples=["30 2 * * MON-FRI"]
    )
    every: Span | None = Field(default=None, examples=[None])
    time_zone: Name = Field(default="UTC", examples=["Europe/Rome"])
    overlap: Overlap = Overlap.SKIP
    catch_up: CatchUp = CatchUp.LAST
    jitter: Span | None = Field(default=None, examples=["30 s"])
    first: Moment | None = None
    until: Moment | None = None
    inputs: JsonObject = Field(default_factory=dict)


class Metric(Told):
    """A figure of a workflow."""

    workflow: str
    metric: str
    value: float | None
    unit: str


class Metrics(Told):
    """The figures."""

    metrics: list[Metric]


class Failure(Told):
    """A kind of failure."""

    model_config = ConfigDict(extra="allow")

    count: int
    cases: int


class Failures(Told):
    """The kinds of failure, the most harmful first."""

    failures: list[Failure]


class Alert(Told):
    """The state of an alert."""

    alert: str
    workflow: str
    severity: str
    condition: str
    state: Literal["pending", "firing", "resolved"]
    value: float | None
    since: datetime
    silenced_until: datetime | None


class Alerts(Told):
    """The alerts."""

    alerts: list[Alert]


class Silence(Given):
    """Alerts to silence, for how long, and why."""

    alert: Name = Field(description="Its name, or a pattern such as order/*.", examples=["order/high_failure_rate"])
    duration: Span = Field(examples=["2 h"])
    reason: Text = Field(examples=["The carrier is being repaired."])
    by: By = None


class Query(Given):
    """A query that reads: SELECT, WITH, FROM, DESCRIBE, SHOW, SUMMARIZE, EXPLAIN."""

    query: Annotated[str, StringConstraints(min_length=1, max_length=20_000)] = Field(
        examples=["SELECT workflow, count(*) AS runs FROM runs GROUP BY workflow"]
    )
    parameters: list[Scalar | Annotated[list[Scalar], Field(max_length=50_000)]] = Field(
        default_factory=list, max_length=100, description="Values for the ? in the query, or lists of values."
    )


class Column(Told):
    """A column of an answer."""

    name: str
    type: str = Field(description="The type, as Arrow names it.")


class Answer(Told):
    """The answer to a query, one list per row."""

    columns: list[Column]
    rows: list[list[Any]]


class CreateToken(Given):
    """A token to make."""

    name: Name = Field(description="What the token is for.", examples=["dashboard"])
    role: Role = Field(default=Role.READ)


class Token(Told):
    """What is known of a token."""

    id: str
    name: str
    role: Role
    created: datetime
    revoked: bool


class NewToken(Token):
    """A token that was made."""

    token: str = Field(description="The token itself, shown only this once.")


class Tokens(Told):
    """The tokens."""

    tokens: list[Token]
