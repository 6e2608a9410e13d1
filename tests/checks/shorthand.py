"""Graphs in few words."""

from __future__ import annotations

from itertools import pairwise

import orchkit as ok
from orchkit.model import End, Flow, Gateway, GatewayKind, Start, Task, Wait, WaitKind


def graph(nodes, *flows, **more):
    """Write a free graph: names that end in ``? + * ~`` are exclusive, parallel, event and inclusive gateways."""
    kinds = {"?": GatewayKind.EXCLUSIVE, "+": GatewayKind.PARALLEL, "*": GatewayKind.EVENT, "~": GatewayKind.INCLUSIVE}
    made = []
    for name in nodes.split() if isinstance(nodes, str) else nodes:
        match name:
            case str() if name.startswith("start"):
                made.append(Start(name=name))
            case str() if name.startswith("end"):
                made.append(End(name=name))
            case str() if name[-1] in kinds:
                made.append(Gateway(name=name, kind=kinds[name[-1]]))
            case str() if name.startswith("wait"):
                made.append(Wait(name=name, kind=WaitKind.CALLBACK, timeout_s=9))
            case str():
                made.append(Task(name=name))
            case _:
                made.append(name)
    edges = []
    for text in flows:
        if isinstance(text, Flow):
            edges.append(text)
            continue
        way, _, condition = text.partition(": ")
        names = way.split()
        edges.extend(Flow(source, target, condition or None) for source, target in pairwise(names))
    return ok.Workflow("w", tuple(made), tuple(edges), **({"inputs": {"a": {}, "b": {}}} | more))
