"""Memory settings of the processes of a job: memory that does not grow with the job, few searches for garbage."""

import contextlib
import ctypes
import gc

_M_ARENA_MAX = -8  # of <malloc.h>
_GC_THRESHOLDS = (100_000, 50, 100)


def share_heaps() -> None:
    """Stops the C library from making more heaps for threads: all threads share those that there are.

    glibc makes heaps for threads, and what a thread frees stays in its heap. Beam hands the elements of a job through
    some twenty threads, which mostly wait: their heaps grow with the number of pairs without any gain. Another C
    library is left as it is.
    """
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)


def collect_rarely() -> None:
    """Searches for cycles of garbage a hundred times less often, and never among what is there now.

    The plan of 100,000 pairs is a million objects without a cycle: searching them again and again while their number
    grows takes a tenth of the planning.
    """
    gc.freeze()
    gc.set_threshold(*_GC_THRESHOLDS)
