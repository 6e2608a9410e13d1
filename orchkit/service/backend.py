"""Backend: what the routes work with."""

from __future__ import annotations

from dataclasses import dataclass

from orchkit.engine import Engine
from orchkit.operations import Watch
from orchkit.service.desk import Desk
from orchkit.service.feed import Feed
from orchkit.service.journal import Journal
from orchkit.service.limits import Buckets, Limits
from orchkit.service.tokens import Tokens

__all__ = ["LOOPBACK", "Backend"]

LOOPBACK = frozenset({"localhost", "127.0.0.1", "[::1]"})


@dataclass(frozen=True, slots=True)
class Backend:
    """What the routes work with.

    Attributes
    ----------
    engine
        Does what is asked.
    tokens
        Who may ask.
    watch
        Its alerts.
    feed
        Its history as it grows.
    journal
        What is written down.
    limits
        How much is done for whoever asks.
    callers, strangers
        How often they may ask.
    desk
        Where queries are answered and figures made.
    hosts
        The names that the service answers to.
    deploys
        Whether workflows may be deployed over HTTP.
    """

    engine: Engine
    tokens: Tokens
    watch: Watch
    feed: Feed
    journal: Journal
    limits: Limits
    callers: Buckets
    strangers: Buckets
    desk: Desk
    hosts: frozenset[str] = LOOPBACK
    deploys: bool = True

    @classmethod
    def of(
        cls,
        engine: Engine,
        watch: Watch,
        journal: Journal,
        *,
        limits: Limits | None = None,
        hosts: frozenset[str] = frozenset(),
        deploys: bool = True,
    ) -> Backend:
        """Return the backend of an engine."""
        limits = limits or Limits()
        return cls(
            engine=engine,
            tokens=Tokens(engine),
            watch=watch,
            feed=Feed(engine),
            journal=journal,
            limits=limits,
            callers=Buckets(limits.requests_per_s, limits.burst),
            strangers=Buckets(limits.strangers_per_s, limits.strangers_burst),
            desk=Desk(limits.queries, limits.waiting),
            hosts=LOOPBACK | hosts,
            deploys=deploys,
        )
