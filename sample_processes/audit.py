"""The systems' books against the engine's history: two records of the same events, written apart.

`reconcile` looks at the books alone; `audit` also asks whether what the engine says has happened is what has happened.
"""

from __future__ import annotations

import pandas as pd

from orchkit.model import Task, Workflow, all_nodes
from sample_processes.books import reconcile

__all__ = ["HISTORY", "audit"]

HISTORY = """
    select seq, run_id, case_id, step_id, node, kind, status from history
    where kind in ('run', 'task', 'compensation') order by seq
"""
"""What `audit` needs of the history: ``audit(books, engine.sql(HISTORY), workflow)``."""

_FINAL = ("COMPLETED", "FAILED", "COMPENSATED", "CANCELLED", "DEAD_LETTERED")
_REVERSED = ("reservation", "credit", "pick_list", "pick", "shipment", "capture")


def audit(books: pd.DataFrame, history: pd.DataFrame, workflow: Workflow) -> pd.DataFrame:
    """Return where books and history of order to cash differ; an empty frame means that they tell the same.

    The rules: each run has ended, once; no step has completed twice; each step that completed has its effect, once, and
    each effect its step; a completed order was rejected, or it was shipped, paid and invoiced, once each; of an order
    that was undone nothing is left; and all of `reconcile`.

    Parameters
    ----------
    books
        Effects as `sample_processes.books.read_books` gives them.
    history
        Columns ``seq, run_id, case_id, step_id, node, kind, status``: the answer to `HISTORY`.
    workflow
        The definition that ran; its HTTP tasks with a body are those that have effects.

    Returns
    -------
    DataFrame
        ``case_id``, ``rule`` (the one that is broken) and ``found``.

    Examples
    --------
    >>> import sample_processes
    >>> books = pd.DataFrame({
    ...     "effect_id": ["invoice-7-1"],
    ...     "kind": ["invoice"],
    ...     "case_id": ["7"],
    ...     "idempotency_key": ["r:1"],
    ...     "amount": [100],
    ...     "reverses": [None],
    ... })
    >>> history = pd.DataFrame(columns=["seq", "run_id", "case_id", "step_id", "node", "kind", "status"])
    >>> audit(books, history, sample_processes.workflow("order_to_cash"))
      case_id                               rule              found
    0       7  every effect has a completed step  invoice, key r:1
    """
    found = [reconcile(books), *_runs(history), *_effects(books, history, workflow), *_outcomes(books, history)]
    return pd.concat(found).sort_values("case_id", kind="stable", ignore_index=True)


def _runs(history: pd.DataFrame) -> list[pd.DataFrame]:
    """Check that each run has ended once."""
    runs = history[history.kind == "run"]
    ends = runs.status.isin(_FINAL).groupby(runs.case_id).sum()
    found = "ended " + ends.astype(str) + " times"
    return [_broken("every run ends once", ends.index[ends != 1], found[ends != 1])]


def _effects(books: pd.DataFrame, history: pd.DataFrame, workflow: Workflow) -> list[pd.DataFrame]:
    """Check effects against completed steps, which the idempotency key joins."""
    writers = {node.name for node in all_nodes(workflow) if isinstance(node, Task) and "json" in node.settings}
    done = history[(history.status == "COMPLETED") & history.kind.isin(["task", "compensation"])]
    done = done.assign(key=done.run_id + ":" + done.step_id)
    twice = done[done.key.duplicated()]
    missing = done[done.node.isin(writers) & ~done.key.isin(books.idempotency_key)]
    extra = books[~books.idempotency_key.isin(done.key)]
    again = books[books.idempotency_key.duplicated()]
    return [
        _broken("no step completes twice", twice.case_id, twice.node),
        _broken("every completed step has its effect", missing.case_id, missing.node + ", key " + missing.key),
        _broken(
            "every effect has a completed step",
            extra.case_id,
            extra.kind + ", key " + extra.idempotency_key.fillna("none"),
        ),
        _broken("a step has one effect", again.case_id, again.kind),
    ]


def _outcomes(books: pd.DataFrame, history: pd.DataFrame) -> list[pd.DataFrame]:
    """Check what an order's end promises against what stands in the books."""
    runs = history[(history.kind == "run") & history.status.isin(_FINAL)]
    status = runs.drop_duplicates("case_id", keep="last").set_index("case_id").status
    rejected = history.case_id[(history.node == "reject_order") & (history.status == "COMPLETED")]
    standing = books[~books.effect_id.isin(books.reverses.dropna())]
    counts = pd.crosstab(standing.case_id, standing.kind).reindex(index=status.index, fill_value=0)
    counts = counts.reindex(columns=[*_REVERSED, "invoice"], fill_value=0)
    goods = counts[["shipment", "capture", "invoice"]]
    fulfilled = (status == "COMPLETED") & ~status.index.isin(rejected)
    short = goods[fulfilled & (goods != 1).any(axis="columns")]
    left = counts[~fulfilled & (counts > 0).any(axis="columns")]
    return [
        _broken("completed orders are shipped, paid and invoiced once", short.index, _listed(short)),
        _broken("of other orders nothing is left", left.index, _listed(left)),
    ]


def _listed(counts: pd.DataFrame) -> list[str]:
    return [", ".join(f"{count} {kind}" for kind, count in row.items()) for row in counts.to_dict("records")]


def _broken(rule: str, cases: pd.Index | pd.Series, found: pd.Series | list[str]) -> pd.DataFrame:
    return pd.DataFrame({"case_id": list(cases), "rule": rule, "found": list(found)}, dtype="str")
