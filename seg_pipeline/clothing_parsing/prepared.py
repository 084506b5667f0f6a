"""What is prepared below a data directory, and which of it is meant where a config, a version or none is named."""

import os
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import tensorflow_datasets as tfds

from seg_pipeline import errors, storage
from seg_pipeline.dataset import contents, manifest, tfds_metadata


class Prepared(NamedTuple):
    """One data set on the disk.

    Attributes:
        config: the name of its directory, `<height>x<width>` if prepare_dataset made it.
        version: of the data set.
    """

    config: str
    version: tfds.core.Version

    def __str__(self) -> str:
        return f'{self.config}:{self.version}'


def data_dirs(data_dir: str | os.PathLike[str] | None) -> list[str]:
    """Where to look: in the directory that is given, or in all that TFDS knows (`TFDS_DATA_DIR` is one of them)."""
    if data_dir is not None:
        return [expanded(data_dir)]
    return [os.fspath(path) for path in tfds.core.utils.file_utils.list_data_dirs()]


def expanded(data_dir: str | os.PathLike[str]) -> str:
    """A path whose `~` is the home directory: TFDS itself would make a directory of that name."""
    return os.path.expanduser(os.fspath(data_dir))


def find(directories: Iterable[str], name: str) -> list[Prepared]:
    """All complete data sets of a name, by config and version.

    A directory without the file that TFDS reads first is none: a copy or a preparation that was broken off.
    """
    found = set()
    for directory in directories:
        for path in tfds.core.Path(directory, name).glob(f'*/*/{tfds_metadata.COMMIT_FILE}'):
            config, version = path.parts[-3:-1]
            if not config.startswith('.') and tfds.core.Version.is_valid(version):
                found.add(Prepared(config, tfds.core.Version(version)))
    return sorted(found)


def choose(
    found: Sequence[Prepared], where: str, name: str, config: str | None, version: str | None, own_version: str
) -> Prepared | None:
    """Decides which data set is meant.

    Args:
        found: what is there.
        where: the directories, for messages.
        name: of the data set, for messages.
        config: the config that is asked for, if one is.
        version: the version that is asked for, if one is; a part of it may be `*`.
        own_version: the version that the builder itself prepares.

    Returns:
        The newest version; None if nothing that is there is meant, and the builder may prepare what is.

    Raises:
        UserError: if several configs are there and none is named; or if the version is not there.
    """
    named = [one for one in found if config in (None, one.config)]
    matching = [one for one in named if version is None or one.version.match(version)]
    if len({one.config for one in matching}) > 1:
        raise errors.UserError(
            f'{where}: has several configs of {name}: {listed(matching)}; name one, as in '
            f"tfds.load('{name}/{matching[0].config}', ...)"
        )
    if matching:
        return matching[-1]
    if version is not None and (named or not tfds.core.Version(own_version).match(version)):
        full_name = name if config is None else f'{name}/{config}'
        raise errors.UserError(f'{where}: has no version {version} of {full_name}; there is {listed(found)}')
    return None


def check_files(directory: str, name: str) -> None:
    """Checks that what is opened in a data set is a regular file, and TFDS's numbers those of the manifest.

    TensorFlow opens what it finds: a pipe waits for a writer, which may never come, and some devices have no end. And
    it believes what it reads: a shard of 2 ** 31 records. A data set that TFDS prepared has no manifest.

    Args:
        directory: where one data set is or will be, on this disk or in a store, which has no such files.
        name: of the data set, with which the names of its shards begin.

    Raises:
        UserError: naming the first file with which something is wrong.
    """
    if not storage.has_directories(directory) or not os.path.isdir(directory):
        return
    verify = f'`python -m seg_pipeline.verify {directory}` names every damage'
    with os.scandir(directory) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            is_opened = entry.name in (*tfds_metadata.FILES, manifest.FILE_NAME) or entry.name.startswith(f'{name}-')
            if not entry.is_file() and (is_opened or not entry.is_dir()):
                raise errors.UserError(f'{entry.path}: not a regular file; {verify}')
    compared = (manifest.FILE_NAME, tfds_metadata.COMMIT_FILE)
    is_whole = all(storage.exists(os.path.join(directory, one)) for one in compared)
    if is_whole and (problem := contents.problem_of_numbers(directory)):
        raise errors.UserError(f'{problem}; {verify}')


def listed(found: Sequence[Prepared]) -> str:
    """Their names in one line, for messages."""
    return ', '.join(map(str, found)) or 'none of any config or version'
