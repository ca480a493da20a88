"""LAPACK's root-free QL iteration, called so that two can run at a time."""

import ctypes
from functools import cache

import numpy as np
from scipy.linalg import cython_lapack


def sterf(diagonal: np.ndarray, off: np.ndarray) -> np.ndarray:
    """Eigenvalues, ascending, of the symmetric tridiagonal matrix with `diagonal` (m,) and `off` (m - 1,), float64.

    Raises ArithmeticError where the iteration does not converge.
    """
    values, rest = np.array(diagonal, dtype=np.float64), np.array(off, dtype=np.float64)
    if len(rest) != len(values) - 1:
        raise ValueError(f"a diagonal of {len(values)} has {len(values) - 1} entries beside it; got {len(rest)}")
    size, info = ctypes.c_int(len(values)), ctypes.c_int()
    _dsterf()(ctypes.byref(size), values.ctypes.data, rest.ctypes.data, ctypes.byref(info))
    if info.value != 0:
        raise ArithmeticError(f"LAPACK dsterf left {info.value} eigenvalues of {len(values)} without convergence")
    return values


@cache
def _dsterf():
    """SciPy's own wrapper holds the interpreter's lock while it computes; a ctypes function does not."""
    api = ctypes.pythonapi
    api.PyCapsule_GetName.restype, api.PyCapsule_GetName.argtypes = ctypes.c_char_p, [ctypes.py_object]
    api.PyCapsule_GetPointer.restype = ctypes.c_void_p
    api.PyCapsule_GetPointer.argtypes = [ctypes.py_object, ctypes.c_char_p]
    capsule = cython_lapack.__pyx_capi__["dsterf"]
    name = api.PyCapsule_GetName(capsule)
    if not name.startswith(b"void (int *,"):
        raise ImportError(f"this SciPy's dsterf is {name.decode()}, whose integers are not C's int")
    return ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 4)(api.PyCapsule_GetPointer(capsule, name))
