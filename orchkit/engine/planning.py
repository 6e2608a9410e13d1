"""What starts runs by itself: an engine's schedules, deployed workflows and events."""

from __future__ import annotations

import concurrent.futures
from collections.abc import Mapping
from typing import Any

import pandas as pd

from orchkit.engine.doors import doors_of
from orchkit.engine.messages import AddSchedule, ChangeSchedule, Deploy, ListPlans, Message, Note
from orchkit.engine.subscriptions import check_triggers
from orchkit.engine.who import user
from orchkit.errors import WorkflowError
from orchkit.model.definition import Workflow
from orchkit.model.schedule import Schedule

__all__ = ["Planning"]

_COLUMNS = [
    "schedule",
    "workflow",
    "version",
    "when",
    "overlap",
    "catch_up",
    "paused",
    "last",
    "next",
    "running",
    "queued",
]


class Planning:
    """The part of an engine that starts runs by itself."""

    def note(
        self,
        kind: str,
        name: str,
        status: str,
        payload: Mapping[str, Any],
        workflow: str = "",
        by: str | None = None,
    ) -> None:
        """Keep something that belongs to no run in the history, such as an alert that fires."""
        self._post(Note(kind, name, status, payload, workflow, by)).result()

    def _post(self, message: Message) -> concurrent.futures.Future[Any]:
        raise NotImplementedError

    def _check_executors(self, workflow: Workflow) -> None:
        raise NotImplementedError

    def current(self, workflow: str) -> Workflow:
        """Return the version of a workflow that was deployed last."""
        raise NotImplementedError

    def secret(self, name: str) -> str:
        """Return a secret by its name."""
        raise NotImplementedError

    def deploy(self, workflow: Workflow, *, by: str | None = None) -> None:
        """Make a version the current one of its workflow: its triggers start runs, and its name stands for it.

        Runs keep the version that they were started with. These kinds of triggers work: ``schedule`` (see
        `orchkit.Schedule`), ``event``, ``webhook`` (see `orchkit.engine.doors`), and ``queue``, while `orchkit.consume`
        listens to its ``subject``. An event starts a run if ``match`` holds over ``event``, with ``inputs`` (by default
        ``event``, the payload) and the case ``case``; the same case has only one run. Deploying a version again changes
        nothing.

        Raises
        ------
        WorkflowError
            A trigger makes no sense, or an executor is missing.
        SecretError
            The engine was not given the secret of a webhook.

        Examples
        --------
        >>> from orchkit import Engine, Trigger, task, workflow
        >>> placed = Trigger("event", {"event": "placed", "case": "${event.id}", "inputs": {"id": "${event.id}"}})
        >>> with Engine(handlers={"ship": lambda id: f"{id} sent"}) as engine:
        ...     engine.deploy(workflow("order", [task("ship")], triggers=[placed]))
        ...     taken = [engine.publish("placed", {"id": case}) for case in ("A-1", "A-2", "A-1")]
        ...     taken, engine.find("order", "A-2").wait().variables["ship"]
        ([1, 1, 0], 'A-2 sent')
        """
        _expect_workflow(workflow)
        self._check_executors(workflow)
        check_triggers(workflow)
        for door in doors_of(workflow):
            for secret in door.secrets:
                self.secret(secret)
        self._post(Deploy(workflow, by or user())).result()

    def schedule(
        self,
        workflow: Workflow | str,
        name: str | None = None,
        *,
        by: str | None = None,
        **settings: Any,  # noqa: ANN401 -- those of `Schedule`
    ) -> Schedule:
        """Start runs of a workflow at fixed times; a run that is due is started once, even across restarts.

        Parameters
        ----------
        workflow
            The definition, or its name, for the version that was deployed last; the schedule keeps starting this
            version until it is scheduled again.
        name
            The name of the schedule, by default that of the workflow; a schedule with the same name is changed.
        by
            Who has decided it; by default the user of this machine.
        **settings
            Fields of `orchkit.Schedule`: ``cron`` or ``every``, ``time_zone``, ``overlap``, ``catch_up``, ``jitter``,
            ``first``, ``until``, ``inputs``.

        Examples
        --------
        >>> from orchkit import Engine, task, workflow
        >>> from orchkit.testing import VirtualClock
        >>> report = workflow("report", [task("write")])
        >>> with Engine(handlers={"write": lambda: "done"}, clock=VirtualClock(skip=True)) as engine:
        ...     until = "2027-01-04T00:00:00+00:00"
        ...     _ = engine.schedule(report, cron="0 9 * * MON-FRI", time_zone="Europe/Rome", until=until)
        ...     while engine.schedules()["next"].notna().any():
        ...         pass
        ...     engine.runs()["case_id"].tolist()
        ['report@2027-01-01T08:00:00+00:00']
        """
        if isinstance(workflow, str):
            workflow = self.current(workflow)
        _expect_workflow(workflow)
        self._check_executors(workflow)
        found = Schedule.from_settings(settings, name or workflow.name)
        self._post(AddSchedule(found, workflow, by or user())).result()
        return found

    def schedules(self) -> pd.DataFrame:
        """Return one row per schedule.

        Returns
        -------
        DataFrame
            ``schedule, workflow, version, when, overlap, catch_up, paused, last`` (the moment of the last start),
            ``next`` (the next moment that is due, its jitter left out), ``running, queued`` (counts).
        """
        frame = pd.DataFrame(self._post(ListPlans()).result(), columns=_COLUMNS)
        for column in ("last", "next"):
            # In microseconds: nanoseconds end in 2262, and a schedule may begin later.
            moments = (frame[column].astype("float64") * 1e6).round().to_numpy().astype("datetime64[us]")
            frame[column] = pd.Series(moments, index=frame.index).dt.tz_localize("UTC")
        return frame.sort_values("schedule", ignore_index=True)

    def pause_schedule(self, name: str, *, by: str | None = None) -> None:
        """Pause a schedule: it starts no runs until it is resumed; what is due meanwhile is left out.

        Raises
        ------
        ScheduleNotFound
            No such schedule.
        """
        self._post(ChangeSchedule(name, "PAUSED", by or user())).result()

    def resume_schedule(self, name: str, *, by: str | None = None) -> None:
        """Resume a schedule from now on; see `pause_schedule`."""
        self._post(ChangeSchedule(name, "RESUMED", by or user())).result()

    def unschedule(self, name: str, *, by: str | None = None) -> None:
        """Delete a schedule; runs that it started continue."""
        self._post(ChangeSchedule(name, "DELETED", by or user())).result()

    def trigger(self, name: str, *, by: str | None = None) -> None:
        """Start a run of a schedule now, whatever its times and its overlap say."""
        self._post(ChangeSchedule(name, "STARTED", by or user())).result()


def _expect_workflow(value: object) -> None:
    if not isinstance(value, Workflow):
        message = f"A workflow is expected, not {type(value).__name__}: read_workflow(path) gives one."
        raise WorkflowError(message)
