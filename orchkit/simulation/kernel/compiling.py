"""How functions of the kernel are compiled: as one program, for the types that their arguments' names say.

Only an `entry` can be called by the host and is cached on disk, with all that it calls; so a process that finds the
cache reads a few files, not one for each function.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from llvmlite.binding import Linkage
from numba import float64, int64, njit
from numba.core import types
from numba.core.codegen import JITCodeLibrary

__all__ = ["compiled", "entry"]

_FLOATS = frozenset({"u", "z", "shape", "seconds"})
_IMPORT = re.compile(r"^from orchkit\.simulation\.kernel\.(\w+) import", re.MULTILINE)
_OPTIONS = {"nogil": True, "error_model": "numpy"}


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Let a function be called by others of the kernel; it becomes a part of each `entry` that calls it.

    Integers are of one type: else each literal argument would cost a version of its own.
    """
    names = function.__code__.co_varnames[: function.__code__.co_argcount]
    made = njit(**_OPTIONS)(function)
    made._compiler._customize_flags = _apart  # noqa: SLF001
    plain = made.get_call_template

    def get_call_template(args: tuple[Any, ...], kws: dict[str, Any]) -> Any:
        given = tuple(
            pointer if (pointer := _pointer(kind)) else float64 if name in _FLOATS else int64
            for name, kind in zip(names, args, strict=True)
        )
        # What takes a pointer is never called by Python, and needs no way in from there.
        inner = any(isinstance(kind, types.CPointer) for kind in given)
        codegen = made.targetctx.codegen()
        before = codegen._library_class  # noqa: SLF001
        codegen._library_class = _Part if inner else JITCodeLibrary  # noqa: SLF001
        made.targetoptions.update(no_cpython_wrapper=inner, no_cfunc_wrapper=inner)
        try:
            return plain(given, kws)
        finally:
            codegen._library_class = before  # noqa: SLF001
            made.targetoptions.update(no_cpython_wrapper=False, no_cfunc_wrapper=False)

    made.get_call_template = get_call_template
    return made  # type: ignore[no-any-return]


class _Part(JITCodeLibrary):  # type: ignore[misc]
    """The code of a function that is only ever a part of an entry: so it is optimized there, once, and not by itself."""

    def _optimize_final_module(self) -> None:
        pass

    def _finalize_final_module(self) -> None:
        self._finalize_dynamic_globals()
        self._finalized = True

    def get_pointer_to_function(self, _: str) -> int:
        """Return that there is none."""
        return 0

    @property
    def codegen(self) -> _Nowhere:
        """Where an environment would be put, for Python's objects: there are none."""
        return _Nowhere()


class _Whole(JITCodeLibrary):  # type: ignore[misc]
    """The code of an entry: nothing else calls its parts, so one that is called in one place only is put there."""

    def _optimize_final_module(self) -> None:
        for function in self._final_module.functions:
            if not function.is_declaration and function.linkage == Linkage.linkonce_odr:
                function.linkage = "internal"
        super()._optimize_final_module()


class _Nowhere:
    def set_env(self, name: str, env: object) -> None:
        pass


def _apart(flags: Any) -> Any:
    """Say that what arguments point at does not overlap: it does not, and reads can stay in registers."""
    flags.noalias = True
    return flags


def _pointer(kind: Any) -> Any:
    """Return the type of a pointer, which needs neither a length nor a test for negative positions; None for numbers."""
    if isinstance(kind, types.ArrayCTypes):
        return types.CPointer(kind.dtype)
    return kind if isinstance(kind, types.CPointer | types.Array) else None


def _stamp(module: str) -> tuple[tuple[str, float, int], ...]:
    """Return what tells the versions of a module's source apart, and of all that it takes from others of the kernel."""
    folder = Path(__file__).parent
    found, waiting = dict[str, Path](), [module.rpartition(".")[2], Path(__file__).stem]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found[name] = folder / f"{name}.py"
            waiting += _IMPORT.findall(found[name].read_text(encoding="utf-8"))
    stats = {name: path.stat() for name, path in sorted(found.items())}
    return tuple((name, stat.st_mtime, stat.st_size) for name, stat in stats.items())


def entry(*signature: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Compile a function that the host calls, for one signature; what was compiled is kept until a source changes."""

    def compile_it(function: Callable[..., Any]) -> Callable[..., Any]:
        made = njit(cache=True, **_OPTIONS)(function)
        # By itself the cache looks at the file of this function only, not at those of what it calls.
        made._cache._cache_file._source_stamp = _stamp(function.__module__)  # noqa: SLF001
        codegen = made.targetctx.codegen()
        before = codegen._library_class  # noqa: SLF001
        codegen._library_class = _Whole  # noqa: SLF001
        try:
            made.compile(signature)
        finally:
            codegen._library_class = before  # noqa: SLF001
        made.disable_compile()
        return made  # type: ignore[no-any-return]

    return compile_it
