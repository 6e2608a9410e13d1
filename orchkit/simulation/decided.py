"""Attributes of a log's cases, and which of a workflow's choices they decide."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from orchkit.errors import ExpressionError
from orchkit.model.definition import all_nodes
from orchkit.model.expressions import evaluate
from orchkit.model.nodes import FlowKind, Gateway, GatewayKind, Scope
from orchkit.simulation.attributes import attributes_of
from orchkit.simulation.distributions import Distribution

if TYPE_CHECKING:
    from orchkit.log import EventLog
    from orchkit.model.definition import Workflow
    from orchkit.model.nodes import Flow

__all__ = ["attributes_in", "decided_by"]

_KEPT = 500  # cases
_FEW = 50  # texts that a column may have; more are names, not kinds
_NEAR = 0.05  # by how much shares may differ that the attributes are said to decide


def attributes_in(log: EventLog) -> dict[str, Distribution]:
    """Return the attributes of a log's cases as a table of 500 cases at most, so that what goes together stays so.

    Columns without a value, and texts that are hardly ever the same (names, numbers of orders), are left out.
    """
    cases = log.cases
    kept = cases.iloc[np.unique(np.linspace(0, len(cases) - 1, min(_KEPT, len(cases))).astype(np.int64))]
    found = {}
    for name, values in attributes_of(type(log)(log.steps.iloc[:0], kept)).items():
        texts = {value for value in values.values if isinstance(value, str)}
        if len(texts) <= _FEW and any(value is not None for value in values.values):
            found[name] = values
    return found


def decided_by(
    workflow: Workflow, attributes: Mapping[str, Distribution], shares: Mapping[str, Mapping[str, float]]
) -> set[str]:
    """Return the exclusive gateways whose conditions, over the attributes, give the shares that were counted."""
    if not attributes:
        return set()
    rows = list(zip(*(column.values for column in attributes.values()), strict=True))
    cases = [_nested(dict(zip(attributes, row, strict=True))) for row in rows]
    graphs: list[tuple[Flow, ...]] = [workflow.flows]
    graphs += [node.flows for node in all_nodes(workflow) if isinstance(node, Scope)]
    gateways = {
        node.name for node in all_nodes(workflow) if isinstance(node, Gateway) and node.kind is GatewayKind.EXCLUSIVE
    }
    found = set()
    for name in gateways & shares.keys():
        flows = [flow for own in graphs for flow in own if flow.source == name and flow.kind is FlowKind.NORMAL]
        taken = [target for case in cases if (target := _target(flows, case)) is not None]
        if len(taken) == len(cases) and all(
            abs(taken.count(target) / len(cases) - share) <= _NEAR for target, share in shares[name].items()
        ):
            found.add(name)
    return found


def _target(flows: list[Flow], case: Mapping[str, Any]) -> str | None:
    """Return where a case goes; None where a condition asks for what is not known."""
    try:
        held = [flow.target for flow in flows if flow.condition is not None and evaluate(flow.condition, case)]
    except ExpressionError:
        return None
    return next(iter([*held, *(flow.target for flow in flows if flow.condition is None)]), None)


def _nested(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return dotted names as mappings in mappings, as a workflow's variables are."""
    case: dict[str, Any] = {}
    for name, value in values.items():
        inside = case
        *path, last = name.split(".")
        for part in path:
            inside = inside.setdefault(part, {}) if isinstance(inside.get(part, {}), dict) else {}
        inside[last] = value
    return case
