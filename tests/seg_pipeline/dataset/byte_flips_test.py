"""Flips bytes of every file of a data set: each is found, by its file and in a shard by record, byte offset and key.

FLIP_STEP says how many bytes lie between two flips (1 for the table in docs/reliability.md, which FLIP_TABLE names).
"""

import bisect
import json
import os
import pathlib
import random

import pytest

from seg_pipeline import records
from seg_pipeline.dataset import integrity, manifest
from tests import fake_data

_STEP = int(os.environ.get('FLIP_STEP', '0'))
_FLIPS_OF_A_FILE = 25


@pytest.fixture(scope='module')
def dataset_dir(tmp_path_factory):
    return pathlib.Path(fake_data.make_dataset(tmp_path_factory.mktemp('data'), num_pairs=6, image_size=(8, 8)))


def _places(dataset_dir, shard):
    """For each record of a shard where it begins, and what must be said of a flip in it."""
    lines = [json.loads(line) for line in (dataset_dir / manifest.RECORDS_FILE).read_text().splitlines()]
    keys = {line['index']: line['key'] for line in lines if line['shard'] == shard.name}
    offsets = [payload.offset for payload in records.read_payloads(str(shard))]
    return offsets, [(f'{shard.name}: record {i} at byte {at}:', f'(key {keys[i]!r})') for i, at in enumerate(offsets)]


def _flip_each(dataset_dir, path, bits):
    """Yields position and what is said for every flipped byte; the file is as it was afterwards."""
    data = path.read_bytes()
    for position in range(0, len(data), _STEP or max(1, len(data) // _FLIPS_OF_A_FILE)):
        flipped = data[position] ^ 1 << bits.randrange(8)
        path.write_bytes(data[:position] + bytes([flipped]) + data[position + 1 :])
        yield position, list(integrity.problems(str(dataset_dir)))
    path.write_bytes(data)


def test_every_flip_is_found_and_named(dataset_dir):
    bits, rows = random.Random(0), []
    for path in sorted(path for path in dataset_dir.rglob('*') if path.is_file()):
        offsets, wanted = _places(dataset_dir, path) if 'tfrecord' in path.name else ([0], [(f'{path.name}: ',)])
        size, flips, found, named = path.stat().st_size, 0, 0, 0
        for position, said in _flip_each(dataset_dir, path, bits):
            flips += 1
            found += any(path.name in line for line in said)
            words = wanted[bisect.bisect_right(offsets, position) - 1]
            named += any(all(word in line for word in words) for line in said)
        assert (found, named) == (flips, flips), path.name
        rows.append(f'| {path.relative_to(dataset_dir)} | {size} | {flips} | {found} | {named} |')
    assert not list(integrity.problems(str(dataset_dir)))
    if table := os.environ.get('FLIP_TABLE'):
        head = '| file | bytes | flips | found | file, record, offset and key named |\n|---|---|---|---|---|\n'
        pathlib.Path(table).write_text(head + '\n'.join(rows) + '\n')
