"""Five steps in a row, as a Temporal workflow: in a module of its own, since its sandbox imports it again."""

from __future__ import annotations

from datetime import timedelta

from temporalio import activity, workflow

__all__ = ["Five", "done", "step"]

done: list[None] = []  # its append is atomic


@activity.defn
async def step() -> None:
    """Do nothing."""
    done.append(None)


@workflow.defn
class Five:
    """Five steps in a row."""

    @workflow.run
    async def run(self) -> None:
        """Run them."""
        for _ in range(5):
            await workflow.execute_activity(step, start_to_close_timeout=timedelta(seconds=60))
