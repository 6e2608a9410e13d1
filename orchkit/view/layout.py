"""Runs Graphviz: from a source to where everything stands."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchkit.errors import RenderError
from orchkit.units import format_duration

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

__all__ = ["Layout", "Route", "find_graphviz", "lay_out"]

_HOW = "Install it with 'pip install graphviz-pure', or set ORCHKIT_DOT to the path of Graphviz's program dot."
_ADVICE = "Draw less: give draw a smaller max_nodes or collapse=True; or give it more time with time_limit."
_SCRIPTS = (str(Path(sys.executable).parent), sysconfig.get_path("scripts"))
Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Route:
    """Where a link runs: a Bézier spline, the tip of its arrow, the middle of its text."""

    points: tuple[Point, ...]
    tip: Point | None = None
    label: Point | None = None


@dataclass(frozen=True, slots=True)
class Layout:
    """Where everything stands, by identifier; pixels from the upper left corner."""

    width: float
    height: float
    centers: Mapping[str, Point]
    boxes: Mapping[str, tuple[float, float, float, float]]
    routes: Mapping[str, Route]


def find_graphviz(folders: Sequence[str] = _SCRIPTS) -> str:
    """Return the path of the program.

    Looked for, in this order: what the environment variable ``ORCHKIT_DOT`` names, ``graphviz-pure``
    in the folders beside the interpreter, ``dot`` on the path.

    Raises
    ------
    RenderError
        There is none.
    """
    wanted = os.environ.get("ORCHKIT_DOT")
    if wanted:
        program = shutil.which(wanted)
        if program is None:
            message = f"ORCHKIT_DOT is {wanted!r}, but there is no such program. {_HOW}"
            raise RenderError(message)
        return program
    program = shutil.which("graphviz-pure", path=os.pathsep.join(folders)) or shutil.which("dot")
    if program is None:
        message = f"Graphviz, which lays out the diagrams, was not found. {_HOW}"
        raise RenderError(message)
    return program


def lay_out(source: str, limit_s: float, advice: str = _ADVICE) -> Layout:
    """Return the layout of a source; those of the last sources are kept. ``advice`` is for whom it takes too long.

    Raises
    ------
    RenderError
        Graphviz is missing, failed, or took longer than ``limit_s`` seconds.
    """
    return _lay_out(find_graphviz(), source, limit_s, advice)


@lru_cache(maxsize=64)
def _lay_out(program: str, source: str, limit_s: float, advice: str) -> Layout:
    try:
        done = subprocess.run(  # noqa: S603 -- the program is the user's own choice; the source goes through a pipe
            [program, "-Kdot", "-Tjson0"],
            input=source.encode(),
            capture_output=True,
            timeout=limit_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        message = f"{program} took longer than {format_duration(limit_s)} to lay out the diagram. {advice}"
        raise RenderError(message) from None
    except OSError as error:
        message = f"{program} cannot be run: {error}. {_HOW}"
        raise RenderError(message) from error
    try:
        return _parse(json.loads(done.stdout))
    except (ValueError, KeyError, TypeError) as error:
        message = f"{program} failed to lay out the diagram: {_complaint(done)}. {_HOW}"
        raise RenderError(message) from error


def _complaint(done: subprocess.CompletedProcess[bytes]) -> str:
    lines = [line for line in done.stderr.decode(errors="replace").splitlines() if not line.startswith("Warning")]
    return (lines[0] if lines else f"it gave no layout and ended with code {done.returncode}").rstrip(".")


def _parse(found: dict[str, Any]) -> Layout:
    """Read Graphviz's JSON (https://graphviz.org/docs/outputs/json/): points, from the lower left corner."""
    left, low, right, high = (float(part) for part in found["bb"].split(","))

    def place(text: str) -> Point:
        x, y = text.split(",")[-2:]
        return round(float(x) - left, 2), round(high - float(y), 2)

    def box(text: str) -> tuple[float, float, float, float]:
        x0, y0, x1, y1 = text.split(",")
        return *place(f"{x0},{y1}"), *place(f"{x1},{y0}")

    objects = found.get("objects", ())
    clusters = [item for item in objects if item["name"].startswith("cluster_")]
    return Layout(
        right - left,
        high - low,
        {item["name"]: place(item["pos"]) for item in objects if "pos" in item},
        {item["name"].removeprefix("cluster_"): box(item["bb"]) for item in clusters},
        {item["id"]: _route(item, place) for item in found.get("edges", ()) if "pos" in item},
    )


def _route(item: Mapping[str, str], place: Callable[[str], Point]) -> Route:
    parts = item["pos"].split(";")[0].split()
    tips = [place(part) for part in parts if part.startswith("e,")]
    points = tuple(place(part) for part in parts if part[:2] not in {"e,", "s,"})
    return Route(points, tips[0] if tips else None, place(item["lp"]) if "lp" in item else None)
