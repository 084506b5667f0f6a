import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seg_pipeline import errors
from seg_pipeline.planning import empty_splits, splits
from seg_pipeline.planning.pairing import SourcePair
from seg_pipeline.planning.split_options import Contents, SplitOptions


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 6), min_size=1, max_size=6),
    parts=st.lists(st.integers(1, 50), min_size=1, max_size=4),
    seed=st.integers(0, 3),
)
def test_a_split_is_named_if_and_only_if_it_has_no_pair(tmp_path_factory, sizes, parts, seed):
    root = str(tmp_path_factory.getbasetemp())  # no image is there, so none is identical to another
    pairs = [SourcePair(f'{g}-{n}', f'{g}-{n}.png', 'm') for g, size in enumerate(sizes) for n in range(size)]
    text = ','.join(f's{i}:{part}/{sum(parts)}' for i, part in enumerate(parts))
    options = SplitOptions(splits.parse_fractions(text), seed=seed, group_regex=r'^(\d+)-')
    assigned = options.assign(root, pairs, Contents(), ())
    filled = {assigned.split_of[pair.key] for pair in pairs}
    empty = [f's{i}' for i in range(len(parts)) if f's{i}' not in filled]
    assert empty_splits.missing(options, filled) == empty
    if not empty:
        assert empty_splits.check(options, assigned, allowed=False) is None
        return
    with pytest.raises(errors.UserError) as caught:
        empty_splits.check(options, assigned, allowed=False)
    warning = empty_splits.check(options, assigned, allowed=True)
    for message in (str(caught.value), warning):
        assert re.findall(r's\d+', message.partition(' empty: ')[0].removeprefix('splits')) == empty
        assert f'{len(pairs)} pair' in message
        assert f'for {len(parts)} split' in message
        assert max(sizes) == 1 or f'in {len(sizes)} group' in message
        assert max(sizes) == 1 or f'of up to {max(sizes)} that' in message


def test_without_groups_every_split_has_a_pair_where_there_are_enough(tmp_path):
    pairs = [SourcePair(f'{n}', f'{n}.png', 'm') for n in range(3)]
    options = SplitOptions(splits.parse_fractions('a:0.98,b:0.01,c:0.01'))
    assert empty_splits.check(options, options.assign(str(tmp_path), pairs, Contents(), ()), allowed=False) is None
    few = options.assign(str(tmp_path), pairs[:2], Contents(), ())
    assert empty_splits.check(options, few, allowed=True) == (
        'splits b and c are empty: 2 pairs for 3 splits; '
        'the data set has no b and no c, since an empty split cannot be read'
    )
