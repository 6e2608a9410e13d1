"""The notebook of the main job: where it lies, and how it is run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from orchkit.errors import OrchkitError

__all__ = ["notebook_path", "run_notebook"]


def notebook_path(name: str) -> Path:
    """Return where a notebook of the project lies."""
    package = Path(__file__).parent
    places = [package / f"{name}.ipynb", package.parents[1] / "notebooks" / f"{name}.ipynb"]
    found = next((place for place in places if place.exists()), None)
    if found is None:
        message = (
            f"{name}.ipynb is missing: it was looked for in {' and '.join(str(place.parent) for place in places)}."
        )
        raise OrchkitError(message)
    return found


def run_notebook(source: Path, target: Path, parameters: Mapping[str, str]) -> None:
    """Run a notebook with parameters, and write it with what it shows."""
    import papermill  # noqa: PLC0415 -- takes a second, and only who runs a notebook needs it

    papermill.execute_notebook(
        source,
        target,
        parameters=dict(parameters),
        kernel_name="python3",
        progress_bar=False,
        extra_arguments=["--log-level=ERROR"],  # the kernel warns that loopback is not encrypted
    )
