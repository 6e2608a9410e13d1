"""orchkit: one workflow definition, one DuckDB file, one notebook.

``import orchkit as ok`` gives every public name. A name is imported from its module when it is first used, so that
the import costs little and only what is used is loaded.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from orchkit.analysis import (
        Conformance,
        DeviationKind,
        bottlenecks,
        compare,
        conformance,
        cycle_times,
        directly_follows,
        discover,
        distances,
        dotted_chart,
        end_activities,
        explain,
        failure_chains,
        failure_outcomes,
        failures,
        handovers,
        kpis,
        metrics,
        only,
        performers,
        retries,
        rework,
        sla,
        start_activities,
        survival,
        throughput,
        variants,
        waiting_times,
        where,
        without,
        workload,
    )
    from orchkit.checks import Issue, Report, Severity, Soundness, check, rules, soundness
    from orchkit.engine import Engine, Run
    from orchkit.errors import (
        CheckError,
        EngineClosed,
        ExpressionError,
        HandlerNotFound,
        InputError,
        LogError,
        MessageNotFound,
        OrchkitError,
        PartialError,
        PermanentError,
        QueryError,
        RunError,
        RunFailed,
        RunNotFound,
        ScenarioError,
        ScheduleNotFound,
        ServiceError,
        StoreCorrupt,
        StoreError,
        StoreFull,
        StoreLocked,
        StoreTooNew,
        TransientError,
        WaitNotFound,
        WorkflowError,
        WorkflowFileError,
        WorkItemNotFound,
        WorkItemTaken,
    )
    from orchkit.formats import ObjectLog, flatten, read_log, read_objects, write_log, write_objects
    from orchkit.log import EventLog
    from orchkit.model import (
        Alert,
        Retry,
        RunStatus,
        Schedule,
        StepStatus,
        Trigger,
        Workflow,
        call,
        choice,
        end,
        for_each,
        otherwise,
        parallel,
        read_workflow,
        repeat_while,
        saga,
        scope,
        task,
        wait_for,
        when,
        workflow,
        write_workflow,
    )
    from orchkit.operations import (
        AlertState,
        Consumer,
        Diff,
        Trace,
        Tracing,
        Watch,
        Webhook,
        Webhooks,
        backtest,
        consume,
        diff,
        evaluate,
        export_spans,
        log_lines,
        trace,
        tracing,
        watch,
        webhooks,
    )
    from orchkit.operations.notebooks import NotebookRun, run_notebook
    from orchkit.service.client import Client, connect
    from orchkit.service.limits import Limits
    from orchkit.service.service import Service
    from orchkit.simulation.attributes import attributes_of
    from orchkit.simulation.calendars import Calendar, office_hours
    from orchkit.simulation.distributions import (
        Distribution,
        by_attribute,
        by_previous,
        by_resource,
        categorical,
        constant,
        empirical,
        erlang,
        exponential,
        gamma,
        lognormal,
        normal,
        pert,
        triangular,
        uniform,
        weibull,
    )
    from orchkit.simulation.files import read_scenario, write_scenario
    from orchkit.simulation.fitting import Fit, fit
    from orchkit.simulation.forecasts import Forecast, forecast
    from orchkit.simulation.load import ScenarioWarning
    from orchkit.simulation.replications import simulate
    from orchkit.simulation.scenario import (
        ArrivalTimes,
        Batch,
        Discipline,
        Failure,
        Loop,
        Profile,
        Resource,
        Response,
        Scenario,
        arrivals_of,
    )
    from orchkit.simulation.studies import Staffing, staff, sweep
    from orchkit.view import charts
    from orchkit.view.charts import Chart
    from orchkit.view.diagram import Diagram, draw
    from orchkit.view.doctor import doctor
    from orchkit.view.process_map import ProcessMap, process_map
    from orchkit.view.widgets.dead_letters import DeadLetters
    from orchkit.view.widgets.explorer import LogExplorer
    from orchkit.view.widgets.inbox import Inbox
    from orchkit.view.widgets.modeler import Modeler
    from orchkit.view.widgets.monitor import Monitor
    from orchkit.view.widgets.replay import Replay
    from orchkit.view.widgets.run_view import RunView
    from orchkit.view.widgets.what_if import WhatIf

__version__ = "0.1.0"

# The public names, grouped by what one does with them.
_NAMES = {
    "orchkit.model": (  # write a workflow
        "Alert",
        "Retry",
        "Trigger",
        "Workflow",
        "call",
        "choice",
        "end",
        "for_each",
        "otherwise",
        "parallel",
        "read_workflow",
        "repeat_while",
        "saga",
        "scope",
        "task",
        "wait_for",
        "when",
        "workflow",
        "write_workflow",
        "RunStatus",
        "Schedule",
        "StepStatus",
    ),
    "orchkit.checks": ("Issue", "Report", "Severity", "Soundness", "check", "rules", "soundness"),  # check it
    "orchkit.view.diagram": ("Diagram", "draw"),  # draw it
    "orchkit.view.doctor": ("doctor",),  # is all here?
    "orchkit.operations.notebooks": ("NotebookRun", "run_notebook"),
    "orchkit.view.widgets.modeler": ("Modeler",),
    "orchkit.view.process_map": ("ProcessMap", "process_map"),
    "orchkit.engine": ("Engine", "Run"),  # run it
    "orchkit.view.widgets.run_view": ("RunView",),  # watch it
    "orchkit.view.widgets.monitor": ("Monitor",),
    "orchkit.view.widgets.inbox": ("Inbox",),
    "orchkit.view.widgets.what_if": ("WhatIf",),
    "orchkit.view.widgets.dead_letters": ("DeadLetters",),
    "orchkit.view.widgets.explorer": ("LogExplorer",),
    "orchkit.view.widgets.replay": ("Replay",),
    "orchkit.service.service": ("Service",),  # let others reach it
    "orchkit.service.limits": ("Limits",),
    "orchkit.service.client": ("Client", "connect"),
    "orchkit.formats": (  # a log from a file
        "ObjectLog",
        "flatten",
        "read_log",
        "read_objects",
        "write_log",
        "write_objects",
    ),
    "orchkit.log": ("EventLog",),  # read it back
    "orchkit.analysis": (
        "Conformance",
        "DeviationKind",
        "bottlenecks",
        "compare",
        "conformance",
        "cycle_times",
        "directly_follows",
        "discover",
        "distances",
        "dotted_chart",
        "end_activities",
        "explain",
        "failure_chains",
        "failure_outcomes",
        "failures",
        "handovers",
        "kpis",
        "metrics",
        "only",
        "performers",
        "retries",
        "rework",
        "sla",
        "start_activities",
        "survival",
        "throughput",
        "variants",
        "waiting_times",
        "where",
        "without",
        "workload",
    ),
    "orchkit.simulation.scenario": (  # what would happen if
        "ArrivalTimes",
        "Batch",
        "Discipline",
        "Failure",
        "Loop",
        "Profile",
        "Resource",
        "Response",
        "Scenario",
        "arrivals_of",
    ),
    "orchkit.simulation.replications": ("simulate",),
    "orchkit.simulation.load": ("ScenarioWarning",),
    "orchkit.simulation.studies": ("Staffing", "staff", "sweep"),
    "orchkit.simulation.fitting": ("Fit", "fit"),
    "orchkit.simulation.forecasts": ("Forecast", "forecast"),
    "orchkit.simulation.files": ("read_scenario", "write_scenario"),
    "orchkit.simulation.attributes": ("attributes_of",),
    "orchkit.simulation.calendars": ("Calendar", "office_hours"),
    "orchkit.simulation.distributions": (
        "Distribution",
        "by_attribute",
        "by_previous",
        "by_resource",
        "categorical",
        "constant",
        "empirical",
        "erlang",
        "exponential",
        "gamma",
        "lognormal",
        "normal",
        "pert",
        "triangular",
        "uniform",
        "weibull",
    ),
    "orchkit.view": ("charts",),  # see it
    "orchkit.view.charts": ("Chart",),
    "orchkit.operations": (  # be told
        "AlertState",
        "Diff",
        "Trace",
        "Tracing",
        "Watch",
        "Webhook",
        "Webhooks",
        "Consumer",
        "backtest",
        "consume",
        "diff",
        "evaluate",
        "export_spans",
        "log_lines",
        "trace",
        "tracing",
        "watch",
        "webhooks",
    ),
    "orchkit.errors": (  # what may go wrong
        "CheckError",
        "EngineClosed",
        "ExpressionError",
        "HandlerNotFound",
        "InputError",
        "LogError",
        "MessageNotFound",
        "OrchkitError",
        "PartialError",
        "PermanentError",
        "QueryError",
        "RunError",
        "RunFailed",
        "RunNotFound",
        "ScenarioError",
        "ScheduleNotFound",
        "ServiceError",
        "StoreCorrupt",
        "StoreError",
        "StoreFull",
        "StoreLocked",
        "StoreTooNew",
        "TransientError",
        "WaitNotFound",
        "WorkItemNotFound",
        "WorkItemTaken",
        "WorkflowError",
        "WorkflowFileError",
    ),
}
_ROOMS = frozenset({"charts"})
_HOMES = {name: home for home, names in _NAMES.items() for name in names}

__all__ = [  # noqa: PLE0604 -- the table above is the list
    "__version__",
    *_HOMES,
]


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        message = f"orchkit has no {name!r}."
        if not name.startswith("_"):  # what tools look for in any module is no typo
            from orchkit.errors import nearest  # noqa: PLC0415 -- only on a typo

            message += nearest(name, _HOMES)
        raise AttributeError(message)
    # A room of its own (`ok.charts`) is a module.
    value = (
        importlib.import_module(f"{home}.{name}") if name in _ROOMS else getattr(importlib.import_module(home), name)
    )
    globals()[name] = value
    return value


def load_ipython_extension(shell: object) -> None:
    """Give a notebook the magics: ``%load_ext orchkit``."""
    from orchkit.view.magics import load  # noqa: PLC0415 -- in a notebook only

    load(shell)


def __dir__() -> list[str]:
    return sorted(__all__)
