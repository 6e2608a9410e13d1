"""Loops compiled to machine code by numba once, kept on disk, and loaded from there without numba.

A kernel is a Python function over pointers and integers in a module of its own, which imports numba. A process that
finds its code on disk imports neither: LLVM loads the object file in hundredths of a second, where numba alone takes a
quarter. The code is made anew when the module, LLVM or the processor is another.
"""

from __future__ import annotations

import ctypes
import hashlib
import importlib
import os
import tempfile
import threading
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

__all__ = ["Kernel"]

_LOCK = threading.Lock()
_ENGINES: list[Any] = []  # code lives as long as the engine that loaded it


@dataclass(slots=True)
class Kernel:
    """A compiled loop, loaded when it is called first. It runs without the GIL.

    Parameters
    ----------
    module, name
        Where its source is: a function that numba compiles, of a module without imports but numba and NumPy.
    kinds
        What it takes: the type of an array's elements, or ``int``. It returns a whole number.

    Examples
    --------
    >>> import numpy as np
    >>> ranked = Kernel("orchkit.analysis.kernel", "ranked", (np.uint64, int, int, np.int64))
    >>> ranked(np.array([30, 10, 20], dtype=np.uint64), 3, 1, np.zeros(2048, dtype=np.int64))
    20
    """

    module: str
    name: str
    kinds: Sequence[type]
    _function: Callable[..., int] | None = field(default=None, init=False, repr=False)

    def __call__(self, *arguments: NDArray[Any] | int) -> int:
        """Run it on arrays, which it may write to, and numbers."""
        if self._function is None:
            with _LOCK:
                if self._function is None:
                    self._function = _load(self)
        result = ctypes.c_int64()
        given = [
            ctypes.c_int64(int(argument)) if kind is int else _address(np.asarray(argument), kind)
            for argument, kind in zip(arguments, self.kinds, strict=True)
        ]
        self._function(ctypes.byref(result), ctypes.byref(ctypes.c_void_p()), *given)
        return result.value


def _address(array: NDArray[Any], kind: type) -> ctypes.c_void_p:
    if array.dtype != kind or not array.flags.c_contiguous:
        message = f"a kernel takes rows of {np.dtype(kind)} that lie side by side, not {array.dtype}"
        raise TypeError(message)
    return ctypes.c_void_p(array.__array_interface__["data"][0])


def _load(kernel: Kernel) -> Callable[..., int]:
    places, stamp = _places(kernel), _stamp(kernel)
    held = next((code for place in places if (code := _read(place, stamp)) is not None), None)
    address = None if held is None else _placed(held)
    if address is None:
        address = _compiled(kernel, places, stamp)
    return ctypes.CFUNCTYPE(ctypes.c_int32)(address)


def _placed(held: bytes) -> int | None:
    """Return where code from the disk now lies; None where this LLVM loads it otherwise, so that numba has to."""
    from llvmlite import binding  # noqa: PLC0415 -- heavy, for those who have much to count

    symbol, _, code = held.partition(b"\n")
    try:
        binding.initialize_native_target()
        binding.initialize_native_asmprinter()
        machine = binding.Target.from_default_triple().create_target_machine(jit=True)
        engine = binding.create_mcjit_compiler(binding.parse_assembly(""), machine)
        engine.add_object_file(binding.ObjectFileRef.from_data(code))
        engine.finalize_object()
    except (AttributeError, RuntimeError):
        return None
    _ENGINES.append(engine)
    return engine.get_function_address(symbol.decode()) or None


def _stamp(kernel: Kernel) -> bytes:
    """Return what tells apart all that the code depends on."""
    from llvmlite import binding  # noqa: PLC0415 -- heavy, for those who have much to count

    machine = (binding.get_host_cpu_name(), binding.get_host_cpu_features().flatten(), repr(binding.llvm_version_info))
    return hashlib.sha256(_source(kernel).read_bytes() + "\n".join([repr(kernel), *machine]).encode()).digest()


def _source(kernel: Kernel) -> Path:
    spec = find_spec(kernel.module)
    assert spec is not None  # noqa: S101 -- a module of our own
    assert spec.origin is not None  # noqa: S101
    return Path(spec.origin)


def _places(kernel: Kernel) -> list[Path]:
    """Return where the code may lie: beside Python's own, else with what the user's programs keep."""
    name = f"{kernel.module}.{kernel.name}.native"
    home = Path(os.path.expanduser(os.environ.get("XDG_CACHE_HOME") or "~/.cache"))  # noqa: PTH111 -- stays as it is without a home
    return [_source(kernel).parent / "__pycache__" / name, *([home / "orchkit" / name] if home.is_absolute() else [])]


def _read(place: Path, stamp: bytes) -> bytes | None:
    """Return the symbol and the code that a file holds; None where it is none, old or damaged."""
    try:
        held = place.read_bytes()
    except OSError:
        return None
    size, code = len(stamp), held[2 * len(stamp) :]
    return code if held[:size] == stamp and held[size : 2 * size] == hashlib.sha256(code).digest() else None


def _keep(places: list[Path], content: bytes) -> None:
    """Write a file at the first place that takes it, whole or not at all; without one, it is compiled each time."""
    for place in places:
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=place.parent) as folder:
                made = Path(folder) / place.name
                made.write_bytes(content)
                made.replace(place)
        except OSError:
            continue
        return


def _compiled(kernel: Kernel, places: list[Path], stamp: bytes) -> int:
    """Compile a kernel by numba, keep its code for other processes, and return where it lies in this one."""
    from numba import int64, njit, types  # noqa: PLC0415 -- heavy, for the first time only
    from numba.np.numpy_support import from_dtype  # noqa: PLC0415

    source = getattr(importlib.import_module(kernel.module), kernel.name)
    pointer: Any = types.CPointer
    signature = tuple(int64 if kind is int else pointer(from_dtype(np.dtype(kind))) for kind in kernel.kinds)
    options: dict[str, Any] = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
    made: Any = njit(nogil=True, error_model="numpy", **options)(source.py_func)
    made.compile(int64(*signature))
    result = made.overloads[signature]
    symbol = str(result.fndesc.llvm_func_name)
    code = symbol.encode() + b"\n" + result.library.serialize_using_object_code()[2][0]
    _keep(places, stamp + hashlib.sha256(code).digest() + code)
    _ENGINES.append(result)
    return int(result.library.get_pointer_to_function(symbol))
