"""Plans of more pairs than should be held as objects: the same results as `planning`, from files and arrays of numbers.

`pair_table` finds the pairs by external sorting.
"""

__all__ = ['pair_table']
