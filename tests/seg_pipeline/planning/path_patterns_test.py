import glob
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seg_pipeline import errors
from seg_pipeline.planning import path_patterns
from seg_pipeline.planning.path_patterns import PathPattern

_PATHS = [
    *('0.jpg', '0.png', '0_mask.png', 'a[1].png', 'B.PNG', 'café.png', 'a/0.jpg', 'a/0_mask.png', 'a/b/0.jpg'),
    *('a/b/c/1_mask.png', 'b/0.png', 'ab/0.png', 'line\nbreak.png', 'a/star*.png'),
]
_PART = st.sampled_from(
    ['*', '**', '?', 'a', 'b', '*.jpg', '*.png', '*_mask.*', '0*', '[ab]', '[!a]', '?.*', '*b*', 'caf?.png']
)


@pytest.fixture(scope='module')
def tree(tmp_path_factory):
    root = tmp_path_factory.mktemp('tree')
    for name in _PATHS:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b'')
    return root


@settings(max_examples=300, deadline=None)
@given(parts=st.lists(_PART, min_size=1, max_size=5))
def test_it_fits_the_files_that_glob_finds(tree, parts):
    pattern = '/'.join(parts)
    found = {name for name in glob.glob(pattern, root_dir=tree, recursive=True) if (tree / name).is_file()}
    assert {name for name in _PATHS if PathPattern(pattern).fits(name)} == found


@pytest.mark.parametrize(
    ('pattern', 'fits', 'not_fits'),
    [
        ('*.jpg', ['0.jpg'], ['a/0.jpg', '0.JPG', '0.jpg.png']),
        ('**/*_mask.png', ['0_mask.png', 'a/b/0_mask.png'], ['0.png', 'a_mask.png/0.png']),
        ('a/**', ['a/0.png', 'a/b/0.png'], ['a.png', 'b/a/0.png']),
        ('./*.jpg', [], ['0.jpg']),
        ('', [], ['0.jpg']),
        ('cafe\u0301.png', ['caf\u00e9.png', 'cafe\u0301.png'], ['cafe.png']),
    ],
)
def test_examples(pattern, fits, not_fits):
    compiled = PathPattern(pattern)
    assert [path for path in (*fits, *not_fits) if compiled.fits(path)] == fits


def test_many_double_stars_take_no_time():
    start = time.process_time()
    assert not PathPattern('/'.join(['**', 'a'] * 30) + '/x').fits('/'.join(['a'] * 120))
    assert time.process_time() - start < 2


def test_all_paths_without_a_pattern_and_an_error_where_none_fits():
    assert path_patterns.select(_PATHS, None, '--image_glob', 'dir') == _PATHS
    assert path_patterns.select(_PATHS, '*.jpg', '--image_glob', 'dir') == ['0.jpg']
    for paths in (_PATHS, []):
        holds = f'{len(paths)} files' + ' such as 0.jpg' * bool(paths)
        with pytest.raises(errors.UserError, match=rf'^--mask_glob=x\*: fits no file in dir, which holds {holds}; '):
            path_patterns.select(paths, 'x*', '--mask_glob', 'dir')
