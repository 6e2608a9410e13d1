"""Operations: what operators are told, and when."""

from orchkit.operations.alerts import Condition, backtest

__all__ = ["Condition", "backtest"]
