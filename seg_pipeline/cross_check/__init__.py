"""The last look at finished records: each stored mask against its source, read again by another library.

Nothing here uses `imaging`, which made the records: what is wrong there, or in the library that it uses, shows up as a
difference, whatever the format of the mask.
"""

from seg_pipeline.cross_check.comparison import Checked, Checker

__all__ = ['Checked', 'Checker']
