"""How sure a share is: the interval that every accuracy here comes with."""

from statistics import NormalDist


def wilson_interval(correct: float, n: int) -> tuple[float, float]:
    """95 % interval of a share of which `correct` out of n >= 1 are seen (Wilson, JASA 22, 1927): where the share
    would lie on endlessly many examples.
    """
    z = NormalDist().inv_cdf(0.975)
    middle = (correct + z**2 / 2) / (n + z**2)
    half = z / (n + z**2) * (correct * (n - correct) / n + z**2 / 4) ** 0.5
    share = correct / n  # lies within, which rounding may miss by a bit where it is 0 or 1
    return max(0.0, min(middle - half, share)), min(1.0, max(middle + half, share))
