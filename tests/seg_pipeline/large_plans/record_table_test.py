import pytest
from hypothesis import given
from hypothesis import strategies as st

from seg_pipeline.large_plans import record_table
from seg_pipeline.large_plans.record_table import RecordTable
from seg_pipeline.planning.pairing import SourcePair

_KEYS = st.lists(st.text(st.characters(exclude_categories=['Cs']), min_size=1, max_size=3), max_size=12, unique=True)


@pytest.mark.parametrize('at_once', [1, 3, 10_000])
@given(there=_KEYS, here=_KEYS, both=_KEYS, known=_KEYS)
def test_it_finds_what_sets_of_keys_find(at_once, there, here, both, known):
    there, here = list(dict.fromkeys([*there, *both])), sorted({*here, *both})
    record_table._AT_ONCE = at_once
    table = RecordTable(SourcePair(key, f'{key}.jpg', f'{key}.png') for key in here)
    for key in there:
        table.add(key, f'old {key}.jpg', f'{key}.png', 'a' * 64, 'not a digest')
    assert table.first_gone() == min(set(there) - set(here), default=None)
    assert table.first_new(known) == min(set(here) - set(there) - set(known), default=None)
    found = list(table.matches())
    assert [match.then.key for match in found] == [key for key in there if key in set(here)]
    for match in found:
        key = match.now.key
        assert match.then == SourcePair(key, f'old {key}.jpg', f'{key}.png')
        assert match.now == SourcePair(key, f'{key}.jpg', f'{key}.png')
        assert match.digests == ('a' * 64, 'not a digest')
    assert [pair.key for pair in table.pairs([*known, *known])] == sorted(set(known) & set(here))
    table.close()
    record_table._AT_ONCE = 10_000
