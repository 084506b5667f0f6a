import json
import shlex

import numpy as np
import pytest
from absl import flags

from beam_jobs import prepare_dataset
from seg_pipeline import errors
from seg_pipeline.dataset import manifest, provenance
from seg_pipeline.dataset.provenance import Provenance

# The flags of prepare_dataset that take a text, but no path.
_WITHOUT_PATHS = {
    *('dataset_name', 'dataset_version', 'image_size', 'splits', 'num_shards'),
    *('group_regex', 'image_key_regex', 'mask_key_regex', 'image_glob', 'mask_glob'),
}


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


def test_the_shown_command_has_of_each_path_only_the_last_part():
    """Over every flag of the command: one that takes a path and is not known as such would be shown as it was typed."""
    own = {flag.name: flag for flag in flags.FLAGS.get_key_flags_for_module(prepare_dataset)}
    texts = [name for name, flag in own.items() if flag.flag_type() == 'string']
    for name in texts:
        value = f'train:/home/jane/{name}.txt,test:s3://jane/{name}' if name == 'split_files' else f'/home/jane/{name}'
        command = shlex.join(['python', '-m', 'x', f'--{name}={value}', '--seed=3'])
        shown = Provenance(command).shown_command
        if name in _WITHOUT_PATHS:
            assert shown == command
        elif name == 'split_files':
            assert shown == 'python -m x --split_files=train:.../split_files.txt,test:.../split_files --seed=3'
        else:
            assert shown == f'python -m x --{name}=.../{name} --seed=3'


@pytest.mark.parametrize(
    ('typed', 'shown'),
    [
        ('photos', 'photos'),
        ('../jane/photos/', '.../photos'),
        ('s3://bucket/jane/photos', '.../photos'),
        ('/', '/'),
        ('/home/jane/a,b:c=d e', '.../a,b:c=d e'),
        ('~/photos', '.../photos'),
    ],
)
def test_shortened_paths(typed, shown):
    found = Provenance(shlex.join(['x', f'--images={typed}'])).shown_command
    assert shlex.split(found) == ['x', f'--images={shown}']


def test_what_is_no_command_line_is_not_shown():
    assert Provenance("it's not").shown_command == ''
    assert Provenance('make it').shown_command == 'make it'
