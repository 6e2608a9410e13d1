"""Operations: what operators are told, and when."""

from orchkit.operations.alerts import Condition, backtest
from orchkit.operations.log_lines import log_lines

__all__ = ["Condition", "backtest", "log_lines"]
