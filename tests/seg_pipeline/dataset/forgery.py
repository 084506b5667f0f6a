"""Alters data sets as somebody does who knows how they are made: every digest is right again afterwards."""

import hashlib
import json
import pathlib

OUTSIDE_FINGERPRINT = ('provenance.json', 'report/index.html')


def text(value):
    """The text of a manifest, written by the module json alone."""
    return (json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + '\n').encode()


def sealed(value):
    """The text of a changed manifest whose fingerprint and checksum are right again."""
    value = {name: one for name, one in value.items() if name not in ('fingerprint', 'manifest_sha256')}
    files = value.get('files')
    if isinstance(files, dict):
        files = {name: one for name, one in files.items() if name not in OUTSIDE_FINGERPRINT}
    covered = {**value, 'files': files} if 'files' in value else value
    value['fingerprint'] = hashlib.sha256(text(covered)).hexdigest()
    value['manifest_sha256'] = hashlib.sha256(text(value)).hexdigest()
    return text(value)


def change_manifest(dataset_dir, change):
    """Lets a function change the parsed manifest, and seals it."""
    path = pathlib.Path(dataset_dir, 'manifest.json')
    value = json.loads(path.read_bytes())
    change(value)
    path.write_bytes(sealed(value))


def replace_file(dataset_dir, name, data):
    """Gives a file beside the shards other contents, and the manifest their digest."""
    pathlib.Path(dataset_dir, name).write_bytes(data)
    digest = {'num_bytes': len(data), 'sha256': hashlib.sha256(data).hexdigest()}
    change_manifest(dataset_dir, lambda value: value['files'].update({name: digest}))


def change_version(dataset_dir, version):
    """Gives a data set another version, wherever it says its own."""
    _change_json(dataset_dir, 'dataset_info.json', lambda info: info.update(version=version))
    change_manifest(dataset_dir, lambda value: value.update(version=version))


def rename_dataset(dataset_dir, name):
    """Gives a data set another name, wherever it says its own: in the names of its shards too."""

    def rename(text):
        return text.replace('clothing_parsing-', f'{name}-')

    _change_json(dataset_dir, 'dataset_info.json', lambda info: info.update(name=name))
    _rename_shards(dataset_dir, rename)
    change_manifest(dataset_dir, lambda value: value.update(dataset_name=name))


def rename_split(dataset_dir, old, new):
    """Gives a split another name in every file that has it, and in the names of its shards."""

    def change_info(info):
        for split in info['splits']:
            split['name'] = new if split['name'] == old else split['name']

    _change_json(dataset_dir, 'dataset_info.json', change_info)
    _change_json(dataset_dir, 'statistics.json', lambda value: value.update({new: value.pop(old)}))
    _rename_shards(dataset_dir, lambda text: text.replace(f'-{old}.', f'-{new}.'), {old: new})


def _rename_shards(dataset_dir, rename, splits=()):
    path = pathlib.Path(dataset_dir)
    for shard in path.glob('*-of-*'):
        shard.rename(path / rename(shard.name))
    lines = [json.loads(line) for line in (path / 'records.jsonl').read_text().splitlines()]
    for one in lines:
        one['shard'], one['split'] = rename(one['shard']), dict(splits).get(one['split'], one['split'])
    lines.sort(key=lambda one: (one['shard'], one['index']))
    text = ''.join(json.dumps(one, sort_keys=True, ensure_ascii=False) + '\n' for one in lines)
    replace_file(dataset_dir, 'records.jsonl', text.encode())

    def change(value):
        for shard in value['shards']:
            shard['name'], shard['split'] = rename(shard['name']), dict(splits).get(shard['split'], shard['split'])
        value['shards'].sort(key=lambda shard: shard['name'])

    change_manifest(dataset_dir, change)


def _change_json(dataset_dir, name, change):
    value = json.loads(pathlib.Path(dataset_dir, name).read_bytes())
    change(value)
    replace_file(dataset_dir, name, json.dumps(value, sort_keys=True, ensure_ascii=False).encode())
