"""From a table of pairs to their assignments, by the options that `planning.split_options` has."""

import dataclasses

import numpy as np
from numpy.typing import NDArray

from seg_pipeline.large_plans import assigned, groups
from seg_pipeline.large_plans.assigned import LargeAssignments
from seg_pipeline.large_plans.pair_table import PairTable
from seg_pipeline.planning.split_options import SplitOptions


@dataclasses.dataclass(frozen=True)
class LargeContents:
    """What is known of the contents of n pairs before they are split; see `split_options.Contents`.

    Attributes:
        known: (n,) whether anything is: not of pairs that will be rejected.
        hashes: (n,) uint64, the perceptual hash of each image.
        classes: (n, 32) uint8, the bits of the classes in each mask as stored; the class of bit b of byte k is 8 k + b.
    """

    known: NDArray[np.bool_]
    hashes: NDArray[np.uint64]
    classes: NDArray[np.uint8]

    @classmethod
    def unknown(cls, num_pairs: int, with_hashes: bool = False, with_classes: bool = False) -> 'LargeContents':
        """Arrays to fill in; what is not asked for has none."""
        hashes, classes = num_pairs if with_hashes else 0, num_pairs if with_classes else 0
        return cls(np.zeros(num_pairs, bool), np.zeros(hashes, np.uint64), np.zeros((classes, 32), np.uint8))


def assign(
    options: SplitOptions, images: str, pairs: PairTable, contents: LargeContents, class_names: tuple[str, ...]
) -> LargeAssignments:
    """Decides the split of each pair as `SplitOptions.assign` does, which has the arguments too.

    `--split_files` is not for this: its lists are as long as the data set, and are in memory.
    """
    links = [groups.identical_files(images, pairs)]  # always: a copy in two splits is a leak whatever was asked for
    near = groups.near_duplicates(contents.hashes, contents.known, options.max_distance) if options.needs_hashes else ()
    formed = groups.form(pairs, options.group_regex, (portion for some in (links, near) for portion in some))
    # None, and not an empty array: without the option no class is missing anywhere.
    classes = contents.classes if options.needs_classes else None
    return assigned.by_fractions(formed, options.fractions, options.seed, classes, class_names)
