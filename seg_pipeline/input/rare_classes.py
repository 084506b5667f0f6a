"""How often each photo of a split is drawn, so that photos with rare classes are drawn more often."""

import numpy as np
from numpy.typing import NDArray


def repeat_factors(masks: NDArray[np.uint8], num_classes: int, threshold: float) -> NDArray[np.float64]:
    """Returns the repeat factor of each photo (Gupta et al., "LVIS", arXiv:1908.03195).

    With the share f_c of the photos in which class c appears, the factor of a class is max(1, sqrt(threshold / f_c)),
    and that of a photo the largest of its classes. A class that is in more than `threshold` of the photos changes
    nothing; one that is in a quarter of that share doubles the photos that have it.

    Args:
        masks: (num_photos, height, width, 1) ids; an id that is no class, such as the ignored one, does not count.
        num_classes: number of classes.
        threshold: 0 to 1.

    Returns:
        (num_photos,), each at least 1.
    """
    appears = np.zeros((len(masks), 256), bool)
    for row, mask in zip(appears, masks, strict=True):
        row[mask] = True
    appears = appears[:, :num_classes]
    share = appears.mean(axis=0)
    of_class = np.sqrt(np.maximum(1, threshold / np.where(share > 0, share, 1)))
    factors: NDArray[np.float64] = np.where(appears, of_class, 1.0).max(axis=1)
    return factors
