"""Command: is this data set intact?

    python -m seg_pipeline.verify DATASET_DIR [--repair --images=DIR --masks=DIR]

Compares every file with the manifest and reads every record of every shard: framing, checksums, contents. --repair
makes what is damaged again from the sources. Exit code 0: intact, or repaired; 1: damaged, each problem on a line; 2:
no data set.
"""

from absl import flags

from seg_pipeline import command_line, errors, storage
from seg_pipeline.dataset import integrity, manifest

_REPAIR = flags.DEFINE_bool('repair', False, 'Make damaged files again, from the sources.')
_IMAGES = flags.DEFINE_string('images', None, 'For --repair: the folder of images that the data set was made from.')
_MASKS = flags.DEFINE_string('masks', None, 'For --repair: the folder of masks.')

EXIT_DAMAGED = 1


def main(argv: list[str]) -> int:
    if len(argv) != 2:
        raise errors.UserError(f'{len(argv) - 1} arguments; usage: python -m seg_pipeline.verify DATASET_DIR')
    dataset_dir = argv[1]
    if _REPAIR.value and not (_IMAGES.value and _MASKS.value):
        raise errors.UserError('--repair needs the sources: --images=DIR --masks=DIR')
    storage.check(dataset_dir)
    if _REPAIR.value and not storage.has_directories(dataset_dir):
        raise errors.UserError(f'{dataset_dir}: --repair works on this disk only: prepare the data set again')
    count = _report(dataset_dir)
    if count and _REPAIR.value:
        from seg_pipeline.building import repair  # here: who only looks need not load what makes data sets

        for file in repair.repair(dataset_dir, _IMAGES.value, _MASKS.value):
            print(f'{file.name}: ' + (f'not repaired: {file.refusal}' if file.refusal else 'repaired'))
        count = _report(dataset_dir)
    if count:
        print(f'{dataset_dir}: DAMAGED: {count} problems')
        return EXIT_DAMAGED
    present = manifest.read(dataset_dir)
    num_records = sum(shard.num_records for shard in present.shards)
    print(f'{dataset_dir}: intact: {num_records} records in {len(present.shards)} shards')
    return 0


def _report(dataset_dir: str) -> int:
    """Prints each problem and returns their number."""
    count = 0
    for problem in integrity.problems(dataset_dir):
        print(problem)
        count += 1
    return count


if __name__ == '__main__':
    command_line.run(main)
