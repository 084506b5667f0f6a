import json

import numpy as np
import pytest

from seg_pipeline import errors
from seg_pipeline.dataset import manifest, provenance
from seg_pipeline.dataset.provenance import Provenance


def test_it_holds_command_and_versions(tmp_path):
    made = Provenance.here("python -m x --labels='a & b.csv'")
    assert made.versions['numpy'] == np.__version__
    assert {'python', 'apache-beam', 'tensorflow-datasets'} <= made.versions.keys()
    (tmp_path / manifest.PROVENANCE_FILE).write_bytes(made.to_bytes())
    assert provenance.read(str(tmp_path)) == made


@pytest.mark.parametrize('text', ['', '{', '[]', '{"command": "x"}', '{"command": "x", "versions": []}', 'null'])
def test_a_damaged_file_is_named(tmp_path, text):
    (tmp_path / manifest.PROVENANCE_FILE).write_text(text)
    with pytest.raises(errors.UserError, match=r'provenance.json: damaged: '):
        provenance.read(str(tmp_path))


def test_equal_values_are_equal_bytes():
    one, other = Provenance('x', {'a': '1', 'b': '2'}), Provenance('x', {'b': '2', 'a': '1'})
    assert one.to_bytes() == other.to_bytes()
    assert json.loads(one.to_bytes()) == {'command': 'x', 'versions': {'a': '1', 'b': '2'}}
