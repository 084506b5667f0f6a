import subprocess
import sys

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from seg_pipeline.large_plans import pair_table
from seg_pipeline.planning import pairing

_FORMS = (
    '{}',
    'a/{}',
    'img_{:03}',
    'x{}_leftImg8bit',
    '2019_cam_{:02}',
    '{}\u00e9',
    '{}e\u0301',
    '\udc80{}',
    "it's {}",
)


@st.composite
def _listings(draw):
    """Names of images and masks that pair, in part or not at all, with or without something to trim."""
    listing = []
    for _ in range(2):
        forms = draw(st.lists(st.sampled_from(_FORMS), min_size=1, max_size=2))
        numbers = draw(st.lists(st.integers(0, 12), max_size=8, unique=True))
        suffixes = draw(st.lists(st.sampled_from(['.png', '.jpg']), min_size=1, max_size=2, unique=True))
        names = {form.format(number) + suffix for form in forms for number in numbers for suffix in suffixes}
        listing.append(sorted(names))
    return listing


@given(_listings(), st.sampled_from([None, r'(\d+)', r'cam_(\d*)', 'x']), st.sampled_from([None, r'(\d+)', r'\d$|(9)']))
@example([['img_001.png'], ['seg_001.png']], None, None)
@example([[], []], None, None)
@example([['a.jpg', 'a.png', 'b.png'], ['a.png', 'b.png']], None, None)
def test_the_pairs_are_those_that_are_found_in_memory(listings, image_key_regex, mask_key_regex):
    wanted = pairing.match_pairs(*listings, image_key_regex, mask_key_regex)
    found = pair_table.match(map(str, listings[0]), iter(listings[1]), image_key_regex, mask_key_regex)
    assert tuple(found.pairs) == wanted.pairs
    assert (found.rejects, found.trimming, found.doubt) == (wanted.rejects, wanted.trimming, wanted.doubt)


def test_a_table_is_a_sequence():
    names = [f'{number:03}.png' for number in range(37)]
    table = pair_table.match(names, names).pairs
    wanted = pairing.match_pairs(names, names).pairs
    assert len(table) == 37
    assert [table[index] for index in (0, 36, -1, -37)] == [wanted[index] for index in (0, 36, -1, -37)]
    for part in (slice(3, 9), slice(30, 99), slice(None, None, 5), slice(5, 5), slice(-3, None)):
        assert tuple(table[part]) == wanted[part]
    for index in (37, -38):
        with pytest.raises(IndexError):
            table[index]
    together = zip(table, table, strict=True)  # two iterations at a time
    assert all(one == other for one, other in together)


_MEASURED = """
import resource
from seg_pipeline.large_plans import pair_table

def peak(number):
    pair_table._CACHE_KIB = 256
    names = lambda: (f'{"directory" * 20}/{place:06}.png' for place in range(number))
    assert sum(1 for _ in pair_table.match(names(), names()).pairs) == number
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

few = peak(10_000)
print(peak(100_000) - few)
"""


def test_the_names_are_not_in_memory():
    """Of two listings with thirty megabytes of names."""
    done = subprocess.run([sys.executable, '-c', _MEASURED], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 3_000  # KiB
