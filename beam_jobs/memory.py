"""Keeps the memory of a process flat over a job of any length."""

import contextlib
import ctypes

_M_ARENA_MAX = -8  # of <malloc.h>


def use_one_arena() -> None:
    """Lets all threads share one heap; call it before any is started.

    glibc gives threads heaps of their own, and what a thread frees stays in its heap. Beam hands the elements of a job
    through some twenty threads, which mostly wait: their heaps grow with the number of pairs and nobody gains by it.
    Another C library is left as it is.
    """
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)
