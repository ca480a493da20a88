"""The unbiased Hilbert-Schmidt estimate behind the debiased participation ratio and the debiased CKA."""


def unbiased_inner(n: int, *, frobenius: float, diagonal: float, traces: float) -> float:
    """Unbiased estimate of tr(S_x S_y)-type inner products of centred linear kernels (Song et al. 2012).

    h = [sum(K~ * L~) + (1'K~1)(1'L~1)/((n-1)(n-2)) - 2/(n-2) 1'K~L~1] / (n(n-3)), with K~ and L~ the kernels
    with zeroed diagonals. It does not depend on the means, so on centred data, where K1 = L1 = 0, the row sums
    of K~ are minus its diagonal and only three sums remain: `frobenius` = sum(K * L), `diagonal` =
    sum_i K_ii L_ii, `traces` = tr K tr L. NaN for n < 4, where no unbiased estimate exists.
    """
    if n < 4:
        return float("nan")
    zeroed = frobenius - diagonal
    return (zeroed + traces / ((n - 1) * (n - 2)) - 2.0 * diagonal / (n - 2)) / (n * (n - 3))
