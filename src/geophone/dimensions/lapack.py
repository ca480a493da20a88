"""LAPACK's tridiagonal reduction and its root-free QL iteration, called so that they hold no interpreter lock: other
threads go on meanwhile. SciPy's own wrappers hold it."""

import ctypes
from functools import cache
from typing import Any

import numpy as np
from scipy.linalg import cython_lapack


def sytrd(lower: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Diagonal (m,) and off-diagonal (m - 1,) of a tridiagonal matrix similar to the symmetric one whose lower triangle
    `lower` (m, m) holds, float64 by columns, which is overwritten. The first column of the transformation is e_1.
    """
    m = len(lower)
    if lower.dtype != np.float64 or not lower.flags.f_contiguous:
        raise ValueError("the matrix must be float64 by columns")
    diagonal, off, work = np.empty(m), np.empty(max(m - 1, 0)), np.empty(_work_of(m))
    tau = np.empty(max(m - 1, 1))
    _called("dsytrd", b"L", m, lower, m, diagonal, off, tau, work, len(work))
    return diagonal, off


def sterf(diagonal: np.ndarray, off: np.ndarray) -> np.ndarray:
    """Eigenvalues, ascending, of the symmetric tridiagonal matrix with `diagonal` (m,) and `off` (m - 1,), float64.

    Raises ArithmeticError where the iteration does not converge.
    """
    values, rest = np.array(diagonal, dtype=np.float64), np.array(off, dtype=np.float64)
    if len(rest) != len(values) - 1:
        raise ValueError(f"a diagonal of {len(values)} has {len(values) - 1} entries beside it; got {len(rest)}")
    left = _called("dsterf", len(values), values, rest)
    if left != 0:
        raise ArithmeticError(f"LAPACK dsterf left {left} eigenvalues of {len(values)} without convergence")
    return values


@cache
def _work_of(m: int) -> int:
    answer = np.empty(1)
    _called("dsytrd", b"L", m, np.empty((1, 1)), m, answer, answer, answer, answer, -1)
    return int(answer[0])


def _called(name: str, *args: Any) -> int:
    """Call a routine, numbers and letters by reference; what it leaves in its last argument, `info`."""
    info = ctypes.c_int()
    given = [arg.ctypes.data if isinstance(arg, np.ndarray) else _reference(arg) for arg in args]
    _routine(name, len(args) + 1)(*given, ctypes.byref(info))
    return info.value


def _reference(value: int | bytes) -> Any:
    return ctypes.c_char_p(value) if isinstance(value, bytes) else ctypes.byref(ctypes.c_int(value))


@cache
def _routine(name: str, arguments: int) -> Any:
    api = ctypes.pythonapi
    api.PyCapsule_GetName.restype, api.PyCapsule_GetName.argtypes = ctypes.c_char_p, [ctypes.py_object]
    api.PyCapsule_GetPointer.restype = ctypes.c_void_p
    api.PyCapsule_GetPointer.argtypes = [ctypes.py_object, ctypes.c_char_p]
    capsule = cython_lapack.__pyx_capi__[name]
    signature = api.PyCapsule_GetName(capsule)
    # How SciPy spells a double varies.
    if not signature.startswith((b"void (int *,", b"void (char *, int *,")):
        raise ImportError(f"this SciPy's {name} is {signature.decode()}, whose integers are not C's int")
    return ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * arguments)(api.PyCapsule_GetPointer(capsule, signature))
