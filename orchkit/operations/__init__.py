"""Operations: what operators are told, and when."""

from orchkit.operations.alerts import backtest, evaluate
from orchkit.operations.conditions import Condition
from orchkit.operations.log_lines import log_lines
from orchkit.operations.watch import AlertState, Watch, watch

__all__ = ["AlertState", "Condition", "Watch", "backtest", "evaluate", "log_lines", "watch"]
