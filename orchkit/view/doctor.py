"""`doctor`: whether what orchkit needs is here, and what to do where it is not."""

from __future__ import annotations

import importlib.util
import sys
import tempfile
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pandas as pd

from orchkit.errors import OrchkitError
from orchkit.view.diagram import draw

__all__ = ["doctor"]

_PACKAGES = ("pandas", "duckdb", "networkx", "numba", "altair", "ipywidgets", "anywidget", "jupyterlab", "papermill")
_EXTRAS = {
    "service": "fastapi",
    "queues": "faststream",
    "tracing": "opentelemetry",
    "robot": "robot",
    "sql": "sqlalchemy",
    "dask": "distributed",
    "alerts": "apprise",
}
_OK, _MISSING, _WRONG = "ok", "not installed", "wrong"


def doctor(store: str | Path | None = None) -> pd.DataFrame:
    """Check the installation: return what was found of each part that orchkit needs, and what to do if it is wrong.

    Parameters
    ----------
    store
        A store to check too: whether it can be opened, or who has it open.

    Returns
    -------
    DataFrame
        ``part``, ``status`` (``ok``, ``not installed``, ``wrong``), ``found``, ``what_to_do`` (empty where all is
        well).

    Examples
    --------
    >>> found = doctor()
    >>> found.loc[found["part"] == "pictures", "status"].item()
    'ok'
    """
    rows = [*_versions(), *_extras(), _tried("pictures", _draw), _tried("PNG", _png), _front_end(), *_stores(store)]
    return pd.DataFrame(rows, columns=["part", "status", "found", "what_to_do"])


Row = tuple[str, str, str, str]


def _versions() -> Iterator[Row]:
    python = f"{sys.version_info.major}.{sys.version_info.minor}.{sys.version_info.micro}"
    fits = (3, 11) <= sys.version_info[:2] <= (3, 13)
    yield "Python", _OK if fits else _WRONG, python, "" if fits else "Use Python 3.11, 3.12 or 3.13."
    yield "orchkit", _OK, _version("orchkit-notebooks") or "from its source", ""
    for name in _PACKAGES:
        found = _version(name)
        yield name, _OK if found else _WRONG, found, "" if found else f"pip install {name}"


def _extras() -> Iterator[Row]:
    for extra, module in _EXTRAS.items():
        there = importlib.util.find_spec(module) is not None
        how = "" if there else f"Only if you need it: pip install 'orchkit-notebooks[{extra}]'"
        yield f"extra {extra}", _OK if there else _MISSING, module if there else "", how


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def _tried(part: str, attempt: Callable[[], str]) -> Row:
    try:
        return part, _OK, attempt(), ""
    except (OrchkitError, OSError) as error:
        return part, _WRONG, "", str(error)


def _draw() -> str:
    from orchkit.model import task, workflow  # noqa: PLC0415 -- only to try

    return f"{len(draw(workflow('order', [task('ship')])).to_svg()):,} bytes of SVG"


def _png() -> str:
    from orchkit.model import task, workflow  # noqa: PLC0415 -- only to try

    return f"{len(draw(workflow('order', [task('ship')])).to_png()):,} bytes"


def _front_end() -> Row:
    """Look for the notebook around: the kernel, and JupyterLab's extension for widgets."""
    from jupyter_core.paths import jupyter_path  # noqa: PLC0415 -- only to look

    part = "widgets in JupyterLab"
    name = Path("labextensions") / "@jupyter-widgets" / "jupyterlab-manager"
    found = [Path(place) / name for place in jupyter_path() if (Path(place) / name).is_dir()]
    if not found:
        return part, _WRONG, "", "pip install jupyterlab_widgets where JupyterLab runs, and load the page again."
    kernel = "in a kernel" if "ipykernel" in sys.modules else "not in a kernel now"
    return part, _OK, f"the extension is there; {kernel}", ""


def _stores(store: str | Path | None) -> Iterator[Row]:
    from orchkit.store import Store  # noqa: PLC0415 -- only to try

    def opened(path: Path) -> Callable[[], str]:
        def attempt() -> str:
            with Store(path) as found:
                return f"{len(found.runs(limit=None)):,} runs"

        return attempt

    with tempfile.TemporaryDirectory() as folder:
        yield _tried("a store can be made", opened(Path(folder) / "doctor.duckdb"))
    if store is not None:
        path = Path(store)
        if path.exists():
            yield _tried(f"store {path}", opened(path))
        else:
            yield f"store {path}", _WRONG, "", "There is no such file: Engine(path) makes it."
