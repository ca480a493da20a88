"""The leading components over time of what moves."""

import numpy as np
import numpy.typing as npt


def components(outputs: npt.ArrayLike, count: int) -> npt.NDArray[np.float64]:
    """The leading principal components over time of a trajectory (M measurements, D numbers) -> (M, at most `count`).

    From the M x M Gram matrix of the trajectory less its mean over time; coordinates with less than 1e-4 of the
    variance are left out, so that no component is noise alone. Signs are arbitrary.
    """
    path = np.asarray(outputs, dtype=np.float64)
    path = path - path.mean(0)
    values, vectors = np.linalg.eigh(path @ path.T)
    values, vectors = np.maximum(values[::-1], 0.0)[:count], vectors[:, ::-1][:, :count]
    total = float(np.square(path).sum())
    keep = values > 1e-4 * total if total > 0 else np.zeros(len(values), dtype=bool)
    return vectors[:, keep] * np.sqrt(values[keep])
