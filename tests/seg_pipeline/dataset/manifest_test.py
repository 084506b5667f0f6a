import hashlib
import json
import pathlib

import pytest

from seg_pipeline import errors
from seg_pipeline.building import fingerprints
from seg_pipeline.dataset import integrity, manifest
from tests import fake_data
from tests.seg_pipeline.dataset import forgery


@pytest.fixture(scope='module')
def dataset_dir(tmp_path_factory):
    return fake_data.make_dataset(tmp_path_factory.mktemp('data'), num_pairs=10, num_shards='train:2')


def test_contents(dataset_dir):
    found = manifest.read(dataset_dir)
    assert (found.dataset_name, found.config_name, found.version) == ('clothing_parsing', '32x32', '1.0.0')
    assert found.image_size == (32, 32)
    assert found.split_names == ('train', 'validation')
    assert (found.num_records('train'), found.num_records('validation')) == (8, 2)
    assert [pathlib.Path(path).name for path in found.shard_paths(dataset_dir, 'train')] == [
        'clothing_parsing-train.tfrecord-00000-of-00002',
        'clothing_parsing-train.tfrecord-00001-of-00002',
    ]
    assert found.label_map.names[1] == 'class 1'
    assert manifest.Manifest.from_bytes(found.to_bytes()) == found


def test_every_flipped_byte_of_the_manifest_is_found(dataset_dir):
    data = pathlib.Path(dataset_dir, manifest.FILE_NAME).read_bytes()
    for position in range(len(data)):
        altered = data[:position] + bytes([data[position] ^ 0x01]) + data[position + 1 :]
        with pytest.raises((ValueError, KeyError, TypeError)):
            manifest.Manifest.from_bytes(altered)


def test_the_fingerprint_covers_every_shard_and_file_but_the_card_and_the_provenance(dataset_dir):
    data = pathlib.Path(dataset_dir, manifest.FILE_NAME).read_bytes()
    value = json.loads(data)
    assert forgery.sealed(value) == data
    assert value['record_format'] == fingerprints.RECORD_FORMAT
    files = {
        path.relative_to(dataset_dir).as_posix() for path in pathlib.Path(dataset_dir).rglob('*.*') if path.is_file()
    }
    assert set(value['files']) == files - {'manifest.json'} - {shard['name'] for shard in value['shards']}
    for digest, decides in [
        *((shard, True) for shard in value['shards']),
        *((digest, name not in forgery.OUTSIDE_FINGERPRINT) for name, digest in value['files'].items()),
    ]:
        before, digest['sha256'] = digest['sha256'], 'f' * 64
        assert (json.loads(forgery.sealed(value))['fingerprint'] != value['fingerprint']) == decides
        digest['sha256'] = before


@pytest.mark.parametrize(
    ('name', 'other'), [('record_format', 99), ('version', '1.0.1'), ('options', {'image_size': [32, 32]})]
)
def test_what_contradicts_the_fingerprint_is_damage_even_under_the_right_checksum(dataset_dir, name, other):
    value = json.loads(pathlib.Path(dataset_dir, manifest.FILE_NAME).read_bytes())
    del value['manifest_sha256']
    value[name] = other
    value['manifest_sha256'] = hashlib.sha256(forgery.text(value)).hexdigest()
    wanted = json.loads(forgery.sealed(value))['fingerprint']
    with pytest.raises(ValueError, match=f'have the fingerprint {wanted}, it says {value["fingerprint"]}'):
        manifest.Manifest.from_bytes(forgery.text(value))


@pytest.mark.parametrize('version', [1, 3])
def test_a_manifest_of_another_version_of_this_package_is_not_called_damaged(dataset_dir, tmp_path, version):
    value = json.loads(pathlib.Path(dataset_dir, manifest.FILE_NAME).read_bytes())
    path = tmp_path / manifest.FILE_NAME
    path.write_bytes(forgery.sealed({**value, 'schema_version': version}))
    for read in (manifest.read, lambda there: list(integrity.problems(there))):
        with pytest.raises(manifest.OtherSchemaError) as raised:
            read(str(tmp_path))
        assert str(raised.value).startswith(
            f'{path}: has schema version {version}, and this version of seg-pipeline reads 2;'
        )
    path.write_bytes(forgery.text({**value, 'schema_version': version}))
    with pytest.raises(errors.UserError, match='damaged: schema_version is'):
        manifest.read(str(tmp_path))


def test_unknown_split_names_the_known_ones(dataset_dir):
    with pytest.raises(errors.UserError, match=r"no split 'test'.* train, validation"):
        manifest.read(dataset_dir).num_records('test')


def test_an_altered_shard_is_named(dataset_dir, tmp_path):
    found = manifest.read(dataset_dir)
    manifest.check_shards(dataset_dir, found, found.split_names)
    for path in pathlib.Path(dataset_dir).glob('*.tfrecord-*'):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    shard = tmp_path / 'clothing_parsing-train.tfrecord-00001-of-00002'
    data = bytearray(shard.read_bytes())
    data[100] ^= 1
    shard.write_bytes(data)
    manifest.check_shards(str(tmp_path), found, ['validation'])
    with pytest.raises(errors.UserError, match=r'train.tfrecord-00001-of-00002: its SHA-256 is .*, the manifest says'):
        manifest.check_shards(str(tmp_path), found, ['train'])
    shard.write_bytes(data[:-1])
    with pytest.raises(errors.UserError, match=f'has {len(data) - 1} bytes, the manifest says {len(data)}'):
        manifest.check_shards(str(tmp_path), found, ['train'])
    shard.unlink()
    with pytest.raises(errors.UserError, match='No such file'):
        manifest.check_shards(str(tmp_path), found, ['train'])


@pytest.mark.parametrize(
    'text', ['', '[]', '{}', 'x', json.dumps({'schema_version': 2}), json.dumps({'schema_version': 1})]
)
def test_no_manifest(tmp_path, text):
    with pytest.raises(errors.UserError, match='no data set'):
        manifest.read(str(tmp_path))
    (tmp_path / manifest.FILE_NAME).write_text(text)
    with pytest.raises(errors.UserError, match=r'manifest.json: damaged'):
        manifest.read(str(tmp_path))
