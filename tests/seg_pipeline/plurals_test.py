import ast
import itertools
import pathlib
import re

import pytest

from seg_pipeline import plurals

_ROOT = pathlib.Path(__file__).parents[2]
_COUNT = re.compile(r'\blen\(|\bnum_|_count\b|\bcount\b')
_SEVERAL = re.compile(r' (?!is |was |has |as |pairs/s|images/s)[a-z]+s\b')
# What is never one, by file and words.
_NEVER_ONE = {
    ('beam_jobs/suspects.py', 'pairs of '),  # behind "one of the"
    ('beam_jobs/pipeline.py', 'images are identical or nearly identical to others: '),  # a group has two
    ('seg_pipeline/building/describe.py', 'images with a mask of '),  # this and the next two are bytes of a data set
    ('seg_pipeline/building/describe.py', 'classes, resized to '),
    ('seg_pipeline/dataset/tfds_metadata.py', 'classes for semantic segmentation, resized to '),
    ('seg_pipeline/card/tables.py', 'characters; all in manifest.json)'),
    ('seg_pipeline/command_line.py', 'characters, more than '),
    ('seg_pipeline/dataset/typed_json.py', 'appears twice in one object'),
    ('seg_pipeline/imaging/formats.py', 'times'),
    ('seg_pipeline/imaging/images.py', 'bytes, more than the '),
    ('seg_pipeline/imaging/images.py', 'bytes'),  # of which the first are a header
    ('seg_pipeline/imaging/mat.py', 'needs '),
    ('seg_pipeline/imaging/mat.py', 'arrays are called '),
    ('seg_pipeline/input/pipeline.py', 'workers'),  # behind "x", an error of the program
    ('seg_pipeline/labels/label_map.py', 'classes: masks of 8 bits hold 1 to 256'),
    ('seg_pipeline/labels/parsing.py', 'digits'),
    ('seg_pipeline/labels/parsing.py', 'cells, the header '),  # more than a header has
    ('seg_pipeline/planning/splits.py', 'pairs, not one'),
    ('seg_pipeline/records/pair_features.py', 'classes; at most '),
    ('trainer/config/sources.py', 'classes, --label_offset='),  # a line that says it in one form
    ('seg_pipeline/verify.py', 'arguments; usage: python -m seg_pipeline.verify DATASET_DIR'),
}


@pytest.mark.parametrize(
    ('number', 'words', 'said'),
    [
        (0, ('pair',), '0 pairs'),
        (1, ('pair',), '1 pair'),
        (2, ('class', 'classes'), '2 classes'),
        (1, ('x', 'y'), '1 x'),
    ],
)
def test_counted(number, words, said):
    assert plurals.counted(number, *words) == said
    assert plurals.noun(number, *words) == said.split()[1]


def _counts_without_it():
    """Each number in an f-string that is followed by a plural, with the text behind it."""
    for package in ('seg_pipeline', 'beam_jobs', 'trainer'):
        for path in sorted((_ROOT / package).rglob('*.py')):
            for node in ast.walk(ast.parse(path.read_text())):
                parts = node.values if isinstance(node, ast.JoinedStr) else []
                for part, behind in itertools.pairwise(parts):
                    if not isinstance(part, ast.FormattedValue) or not isinstance(behind, ast.Constant):
                        continue
                    if _COUNT.search(ast.unparse(part.value)) and _SEVERAL.match(behind.value):
                        yield str(path.relative_to(_ROOT)), behind.value[1:]


def test_no_message_says_1_pairs():
    assert set(_counts_without_it()) - _NEVER_ONE == set()
