"""Where cases leave a workflow: how often each of its nodes was skipped, inserted, out of order or tried amiss."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchkit.model.definition import all_nodes
from orchkit.view.figures import count_text, share_text
from orchkit.view.heat import HeatMap
from orchkit.view.legend import Entry, Sample
from orchkit.view.scene import Heat
from orchkit.view.text import clean, shorten

if TYPE_CHECKING:
    from orchkit.analysis.conformance import Conformance
    from orchkit.model.definition import Workflow

__all__ = ["departures_map"]

_LISTED = 3
# The same for every log, so that pictures can be compared: none, few, some, many.
_FEW, _SOME = 0.05, 0.2
_SAMPLES = (
    Sample("heat-0", "none"),
    Sample("heat-1", f"below {share_text(_FEW)}"),
    Sample("heat-3", f"below {share_text(_SOME)}"),
    Sample("heat-4", f"from {share_text(_SOME)}"),
)


def departures_map(workflow: Workflow, conformance: Conformance) -> HeatMap:
    """Return the nodes shaded by the share of their visits that are not as the workflow has them.

    A visit whose attempts are against the retry policy is one of them.
    """
    names = {node.name for node in all_nodes(workflow)}
    values: dict[str, float] = {}
    words: dict[str, str] = {}
    strange: dict[str, int] = {}
    for name, followed, skipped, inserted, moved, tried in conformance.by_step.itertuples(index=False):
        wrong = int(skipped + inserted + moved)
        if name not in names:
            strange[name] = wrong
            continue
        counts = ((skipped, "skipped"), (inserted, "inserted"), (moved, "out of order"), (tried, "against the policy"))
        told = ", ".join(f"{count_text(int(count))} {word}" for count, word in counts if count)
        values[name] = min(1.0, (wrong + tried) / (wrong + followed)) if wrong + tried else 0.0
        words[name] = told or f"{count_text(int(followed))} as modelled"
    nodes = {
        name: Heat(f"heat-{_shade(value)}", words[name], "cross" if value else "", _shade(value))
        for name, value in values.items()
    }
    share = f"{conformance.fitting:,} of {conformance.cases:,} cases follow"
    legend = [Entry(f"Share of visits that deviate ({share}):", _SAMPLES)]
    if strange:
        first = sorted(strange, key=lambda name: -strange[name])[:_LISTED]
        listed = ", ".join(f"{clean(shorten(name, 30))} {count_text(strange[name])}" for name in first)
        more = f" and {len(strange) - _LISTED} more" if len(strange) > _LISTED else ""
        legend.append(Entry(f"Inserted, not in the workflow: {listed}{more}"))
    return HeatMap(nodes, tuple(legend) if nodes else (Entry(f"No case was decided ({share})"),))


def _shade(share: float) -> int:
    if share <= 0:
        return 0
    return 1 if share < _FEW else 3 if share < _SOME else 4
