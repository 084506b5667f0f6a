"""Command: is this data set intact?

    python -m seg_pipeline.verify DATASET_DIR [--fingerprint=HEX] [--repair --images=DIR --masks=DIR]

Compares every file with the manifest and reads every record of every shard: framing, checksums, contents. That finds
accidents. --fingerprint finds intentions too: who alters a data set can mend its manifest, but not what prepare_dataset
printed. --repair makes what is damaged again from the sources. Exit code 0: intact, or repaired; 1: damaged, each
problem on a line; 2: no data set.
"""

import os
import re

from absl import flags

from seg_pipeline import command_line, errors, progress, storage
from seg_pipeline.dataset import integrity, manifest
from seg_pipeline.plurals import counted

_FINGERPRINT = flags.DEFINE_string(
    'fingerprint', None, 'What prepare_dataset printed: all 64 hexadecimal digits, or at least the first 12.'
)
_REPAIR = flags.DEFINE_bool('repair', False, 'Make damaged files again, from the sources.')
_IMAGES = flags.DEFINE_string('images', None, 'For --repair: the folder of images that the data set was made from.')
_MASKS = flags.DEFINE_string('masks', None, 'For --repair: the folder of masks.')

EXIT_DAMAGED = 1
_HEX = re.compile(r'[0-9a-f]{12,64}')


def main(argv: list[str]) -> int:
    if len(argv) != 2:
        raise errors.UserError(f'{len(argv) - 1} arguments; usage: python -m seg_pipeline.verify DATASET_DIR')
    dataset_dir = argv[1]
    if _REPAIR.value and not (_IMAGES.value and _MASKS.value):
        raise errors.UserError('--repair needs the sources: --images=DIR --masks=DIR')
    for flag in (_IMAGES, _MASKS) if _REPAIR.value else ():
        if not os.path.isdir(flag.value):
            raise errors.UserError(f'--{flag.name}={flag.value}: no such directory')
    anchor = _anchor()
    storage.check(dataset_dir)
    if _REPAIR.value and not storage.has_directories(dataset_dir):
        raise errors.UserError(f'{dataset_dir}: --repair works on this disk only: prepare the data set again')
    count = _report(dataset_dir)
    # Not repaired, for the manifest says what a repair makes, and this one is not to be trusted.
    if problem := _other_fingerprint(dataset_dir, anchor):
        print(problem)
        count += 1
    elif count and _REPAIR.value:
        from seg_pipeline.building import repair  # here: who only looks need not load what makes data sets

        for file in repair.repair(dataset_dir, _IMAGES.value, _MASKS.value):
            print(f'{file.name}: ' + (f'not repaired: {file.refusal}' if file.refusal else 'repaired'))
        count = _report(dataset_dir)
    if count:
        print(f'{dataset_dir}: DAMAGED: {counted(count, "problem")}')
        return EXIT_DAMAGED
    present = manifest.read(dataset_dir)
    print(f'fingerprint {present.fingerprint}')
    num_records = sum(shard.num_records for shard in present.shards)
    records = counted(num_records, 'record')
    print(f'{dataset_dir}: intact: {records} in {counted(len(present.shards), "shard")}')
    return 0


def _anchor() -> str:
    """The value of --fingerprint, in lower case; empty without the flag."""
    if _FINGERPRINT.value is None:
        return ''
    value = str(_FINGERPRINT.value).lower()
    if not _HEX.fullmatch(value):
        raise errors.UserError(
            f'--fingerprint={_FINGERPRINT.value}: wanted the 64 hexadecimal digits that prepare_dataset printed, or at '
            'least the first 12'
        )
    return value


def _other_fingerprint(dataset_dir: str, anchor: str) -> str | None:
    """One line with both fingerprints if the manifest, where it can be read, does not have the wanted one."""
    try:
        found = manifest.read(dataset_dir).fingerprint
    except errors.UserError:
        return None
    if found.startswith(anchor):
        return None
    return f'{dataset_dir}: its fingerprint is {found}, wanted {anchor}: it was altered, or is another data set'


def _report(dataset_dir: str) -> int:
    """Prints each problem and returns their number."""
    count = 0
    with progress.Progress(_num_records(dataset_dir), 'records') as shown:
        for problem in integrity.problems(dataset_dir, shown.update):
            shown.print(problem)
            count += 1
    return count


def _num_records(dataset_dir: str) -> int:
    """What the manifest says; 0 where it cannot be read, which is one of the problems."""
    try:
        return sum(shard.num_records for shard in manifest.read(dataset_dir).shards)
    except errors.UserError:
        return 0


if __name__ == '__main__':
    command_line.run(main)
