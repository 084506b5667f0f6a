"""Plans of more pairs than should be held as objects: the same results as `planning`, from files and arrays of numbers.

`listing` lists two folders, `pair_table` finds their pairs by external sorting; `groups` finds what must stay together,
`assigned` decides splits and shards; `assigning` does both by the options of a job. `record_table` joins the records of
a data set and the pairs.
"""

__all__ = ['assigned', 'assigning', 'groups', 'listing', 'pair_table', 'record_table']
