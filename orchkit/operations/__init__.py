"""Operations: what operators are told, and when."""

from orchkit.operations.alerts import backtest, evaluate
from orchkit.operations.conditions import Condition
from orchkit.operations.deliveries import Webhooks, webhooks
from orchkit.operations.log_lines import log_lines
from orchkit.operations.queues import Consumer, consume
from orchkit.operations.traces import Trace, trace
from orchkit.operations.tracing import Tracing, export_spans, tracing
from orchkit.operations.versions import Diff, diff
from orchkit.operations.watch import AlertState, Watch, watch
from orchkit.operations.webhook import Webhook

__all__ = [
    "AlertState",
    "Condition",
    "Consumer",
    "Diff",
    "Trace",
    "Tracing",
    "Watch",
    "Webhook",
    "Webhooks",
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
]
