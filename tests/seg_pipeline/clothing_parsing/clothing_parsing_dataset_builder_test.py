"""The registered TFDS builder: it reads what prepare_dataset writes, and prepares the very same records by itself."""

import pathlib
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator

import apache_beam as beam
import cv2
import numpy as np
import pytest
import tensorflow_datasets as tfds

import seg_pipeline.clothing_parsing  # registers the builder
from seg_pipeline import errors
from seg_pipeline.clothing_parsing import clothing_parsing_dataset_builder as builder_lib
from seg_pipeline.clothing_parsing import source
from seg_pipeline.dataset import tfds_metadata
from seg_pipeline.labels import label_map
from seg_pipeline.synthetic import pair_set
from tests import fake_data, optional

_ROOT = pathlib.Path(__file__).resolve().parents[3]
_NAMES = list(label_map.read(source.LABELS_FILE).names)
# The `tfds` command imports mlcroissant for another of its subcommands, and tensorflow-datasets does not require it.
_TFDS_COMMAND = """
import sys
from unittest import mock
sys.modules['mlcroissant'] = mock.MagicMock()
from tensorflow_datasets.scripts.cli import main
sys.argv[0] = 'tfds'
main.launch_cli()
"""


class ClothingParsingTest(tfds.testing.DatasetBuilderTestCase):
    """TFDS's own checks, on the five pairs of dummy_data."""

    DATASET_CLASS = builder_lib.Builder
    BUILDER_CONFIG_NAMES_TO_TEST = ('128x128', 'original', '9groups_128x128')
    SPLITS = {'train': 4, 'validation': 1}  # noqa: RUF012


def _read(builder: tfds.core.DatasetBuilder) -> dict[str, tuple[str, np.ndarray, np.ndarray, tuple[int, int]]]:
    """All records by file name: split, image, mask and original size."""
    result = {}
    for split in builder.info.splits:
        for example in builder.as_dataset(split=split).as_numpy_iterator():
            original_size = int(example['original_height']), int(example['original_width'])
            name = example['file_name'].decode()
            result[name] = split, example['image'], example['segmentation_mask'][..., 0], original_size
    return result


def _assert_equal_records(first: tfds.core.DatasetBuilder, second: tfds.core.DatasetBuilder) -> None:
    expected = _read(second)
    found = _read(first)
    assert found.keys() == expected.keys()
    for name, (split, image, mask, original_size) in found.items():
        assert (split, original_size) == (expected[name][0], expected[name][3])
        np.testing.assert_array_equal(image, expected[name][1])
        np.testing.assert_array_equal(mask, expected[name][2])


@pytest.fixture(scope='module')
def kaggle_dir(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    directory = tmp_path_factory.mktemp('kaggle')
    pair_set.write(str(directory), num_pairs=10, seed=3)
    return directory


@pytest.fixture(scope='module')
def prepared_dir(kaggle_dir: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """What prepare_dataset makes of kaggle_dir, at 48x32."""
    directory = tmp_path_factory.mktemp('prepared')
    arguments = [
        f'--images={kaggle_dir}/png_images/IMAGES',
        f'--masks={kaggle_dir}/png_masks/MASKS',
        f'--labels={kaggle_dir}/labels.csv',
        f'--output_dir={directory}',
        '--image_size=48,32',
        '--direct_running_mode=in_memory',
    ]
    command = [sys.executable, '-m', 'beam_jobs.prepare_dataset', *arguments]
    subprocess.run(command, check=True, cwd=_ROOT, capture_output=True)
    return directory


def _prepare(builder: tfds.core.DatasetBuilder, manual_dir: pathlib.Path | None, data_dir: pathlib.Path) -> None:
    config = tfds.download.DownloadConfig(manual_dir=str(manual_dir) if manual_dir else None, try_download_gcs=False)
    builder.download_and_prepare(download_dir=str(data_dir / 'downloads'), download_config=config)


def test_importing_the_package_registers_and_leaves_tensorflow_alone() -> None:
    code = """
import sys, seg_pipeline.clothing_parsing, tensorflow_datasets as tfds
assert 'tensorflow' not in sys.modules
assert tfds.builder_cls('clothing_parsing').VERSION == '1.0.0'
"""
    subprocess.run([sys.executable, '-c', code], check=True, cwd=_ROOT)


def test_load_reads_what_prepare_dataset_wrote(prepared_dir: pathlib.Path) -> None:
    train, info = tfds.load('clothing_parsing', data_dir=str(prepared_dir), split='train', with_info=True)
    assert info.full_name == 'clothing_parsing/48x32/1.0.0'
    assert {name: split.num_examples for name, split in info.splits.items()} == {'train': 8, 'validation': 2}
    assert info.features['segmentation_mask'].names == _NAMES
    assert info.description
    assert len(list(train)) == 8


def test_load_believes_the_data_about_its_classes(tmp_path: pathlib.Path) -> None:
    directory = fake_data.make_dataset(tmp_path, num_pairs=5, image_size=(128, 128), num_classes=3)
    assert directory.endswith('clothing_parsing/128x128/1.0.0')
    datasets, info = tfds.load('clothing_parsing', data_dir=str(tmp_path), with_info=True)
    assert info.features['segmentation_mask'].names == ['background', 'class 1', 'class 2']
    assert {split: len(list(dataset)) for split, dataset in datasets.items()} == {'train': 4, 'validation': 1}


def test_it_prepares_the_records_of_prepare_dataset(
    kaggle_dir: pathlib.Path, prepared_dir: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    builder = tfds.builder('clothing_parsing/48x32', data_dir=str(tmp_path))
    _prepare(builder, kaggle_dir, tmp_path)
    dataset_dir = prepared_dir / 'clothing_parsing/48x32/1.0.0'
    _assert_equal_records(builder, tfds.builder_from_directory(str(dataset_dir)))
    assert (tmp_path / 'clothing_parsing/48x32/1.0.0/features.json').read_bytes() == (
        dataset_dir / 'features.json'
    ).read_bytes()


@pytest.mark.slow
def test_tfds_build_with_beam_options_prepares_them_too(
    kaggle_dir: pathlib.Path, prepared_dir: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    arguments = [
        'build',
        'seg_pipeline/clothing_parsing',
        '--config=48x32',
        f'--manual_dir={kaggle_dir}',
        f'--data_dir={tmp_path}',
        '--beam_pipeline_options=runner=FnApiRunner,direct_num_workers=1',
    ]
    done = subprocess.run(
        [sys.executable, '-c', _TFDS_COMMAND, *arguments], cwd=_ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    _assert_equal_records(
        tfds.builder_from_directory(str(tmp_path / 'clothing_parsing/48x32/1.0.0')),
        tfds.builder_from_directory(str(prepared_dir / 'clothing_parsing/48x32/1.0.0')),
    )


@pytest.mark.parametrize('runner', [None, 'FnApiRunner'])
def test_beam_runs_only_when_asked_for(
    runner: str | None, kaggle_dir: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = []
    run = beam.Pipeline.run
    monkeypatch.setattr(beam.Pipeline, 'run', lambda pipeline: runs.append(pipeline.runner) or run(pipeline))
    builder = tfds.builder('clothing_parsing/8x6', data_dir=str(tmp_path))
    config = tfds.download.DownloadConfig(manual_dir=str(kaggle_dir), beam_runner=runner)
    builder.download_and_prepare(download_dir=str(tmp_path / 'downloads'), download_config=config)
    assert [type(found).__name__ for found in runs] == ([] if runner is None else [runner])
    assert len(_read(builder)) == 10


def test_original_keeps_every_pixel(kaggle_dir: pathlib.Path, tmp_path: pathlib.Path) -> None:
    builder = tfds.builder('clothing_parsing/original', data_dir=str(tmp_path))
    _prepare(builder, kaggle_dir, tmp_path)
    records = _read(builder)
    assert len({mask.shape for _, _, mask, _ in records.values()}) > 1
    for name, (_, image, mask, original_size) in records.items():
        number = name.removeprefix('img_')
        expected = cv2.imread(str(kaggle_dir / 'png_images/IMAGES' / name))[..., ::-1]
        np.testing.assert_array_equal(image, expected)
        np.testing.assert_array_equal(mask, cv2.imread(str(kaggle_dir / f'png_masks/MASKS/seg_{number}'), 0))
        assert original_size == mask.shape


def test_nine_groups_are_the_classes_remapped(kaggle_dir: pathlib.Path, tmp_path: pathlib.Path) -> None:
    builder = tfds.builder('clothing_parsing/9groups_original', data_dir=str(tmp_path))
    _prepare(builder, kaggle_dir, tmp_path)
    lines = pathlib.Path(source.NINE_GROUPS_FILE).read_text().splitlines()
    group_of = dict(line.split(',')[:2] for line in lines if not line.startswith('#'))
    groups = list(dict.fromkeys(group_of.values()))[1:]  # without the header
    assert builder.info.features['segmentation_mask'].names == groups
    seen = set()
    for name, (_, _, mask, _) in _read(builder).items():
        classes = cv2.imread(str(kaggle_dir / f'png_masks/MASKS/seg_{name.removeprefix("img_")}'), 0)
        for number in np.unique(classes):
            np.testing.assert_array_equal(mask[classes == number], groups.index(group_of[_NAMES[number]]))
        seen |= set(np.unique(mask))
    assert len(seen) > 4


def test_groups_of_any_size(tmp_path: pathlib.Path) -> None:
    builder = tfds.builder('clothing_parsing/9groups_8x6', data_dir=str(tmp_path))
    assert builder.info.features['image'].shape == (8, 6, 3)
    assert builder.info.features['segmentation_mask'].num_classes == 9


def test_other_classes_are_refused(tmp_path: pathlib.Path) -> None:
    fake_data.write_pairs(tmp_path / 'pairs', num_pairs=2)
    root = tmp_path / 'kaggle'
    for folder, target in (('images', 'png_images/IMAGES'), ('masks', 'png_masks/MASKS')):
        (root / target).parent.mkdir(parents=True)
        (tmp_path / 'pairs' / folder).rename(root / target)
    (tmp_path / 'pairs/labels.csv').rename(root / 'labels.csv')
    with pytest.raises(errors.UserError, match=r'labels\.csv: 4 classes'):
        _prepare(tfds.builder('clothing_parsing', data_dir=str(tmp_path)), root, tmp_path)
    assert not (tmp_path / 'clothing_parsing/128x128/1.0.0').exists()


def test_one_pair_cannot_fill_two_splits(tmp_path: pathlib.Path) -> None:
    pair_set.write(str(tmp_path / 'one'), num_pairs=1, seed=3)
    with pytest.raises(errors.UserError, match='1 pair for the splits train and validation; add pairs'):
        _prepare(tfds.builder('clothing_parsing', data_dir=str(tmp_path)), tmp_path / 'one', tmp_path)
    assert not (tmp_path / 'clothing_parsing/128x128/1.0.0').exists()


def test_names_with_other_numbers_are_no_pairs(tmp_path: pathlib.Path) -> None:
    pair_set.write(str(tmp_path / 'pairs'), num_pairs=2, seed=3)
    for tree, year in (('png_images/IMAGES', 2019), ('png_masks/MASKS', 2020)):
        for path in (tmp_path / 'pairs' / tree).iterdir():
            path.rename(path.with_name(f'{year}_{path.name[-8:]}'))
    with pytest.raises(errors.UserError, match=r'image 2019_0001\.png and mask 2020_0001\.png would be'):
        _prepare(tfds.builder('clothing_parsing', data_dir=str(tmp_path)), tmp_path / 'pairs', tmp_path)
    assert not (tmp_path / 'clothing_parsing/128x128/1.0.0').exists()


@pytest.fixture
def loopback(tmp_path: pathlib.Path) -> Iterator[Callable[[bytes], str]]:
    """Serves bytes on loopback; returns their address."""
    served = tmp_path / 'served'
    served.mkdir()
    command = [sys.executable, '-u', '-m', 'http.server', '0', '--bind=127.0.0.1', f'--directory={served}']
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        assert server.stdout
        port = server.stdout.readline().split()[5]  # Serving HTTP on 127.0.0.1 port 40137 (...)

        def serve(data: bytes) -> str:
            (served / source.ARCHIVE_NAME).write_bytes(data)
            return f'http://127.0.0.1:{port}/{source.ARCHIVE_NAME}'

        yield serve
        server.kill()


@optional.PUBLISHED.mark
def test_it_downloads_the_published_data(
    loopback: Callable[[bytes], str], tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = source.published_files(num_pairs=5)
    archive = tmp_path / 'archive.zip'
    with zipfile.ZipFile(archive, 'w') as opened:
        for path in files:
            stem = pathlib.Path(path).stem
            published = (
                optional.PUBLISHED_DIR / 'original' / path
                if path.endswith('.mat')
                else optional.PUBLISHED_DIR / f'images/img_{stem}.jpg'
            )
            opened.write(published, f'clothing-co-parsing-{source.COMMIT}/{path}')
    monkeypatch.setattr(source, 'ARCHIVE_URL', loopback(archive.read_bytes()))
    monkeypatch.setattr(source, 'published_files', lambda: files)
    builder = tfds.builder('clothing_parsing/original', data_dir=str(tmp_path))
    _prepare(builder, None, tmp_path)
    records = _read(builder)
    assert sorted(records) == [f'{k:04d}.jpg' for k in range(1, 6)]
    for name, (_, image, mask, original_size) in records.items():
        np.testing.assert_array_equal(mask, cv2.imread(str(optional.PUBLISHED_DIR / f'masks/seg_{name[:4]}.png'), 0))
        np.testing.assert_array_equal(image, cv2.imread(str(optional.PUBLISHED_DIR / f'images/img_{name}'))[..., ::-1])
        assert original_size == mask.shape


def test_the_card_and_the_features_name_the_same_things() -> None:
    card = (pathlib.Path(seg_pipeline.clothing_parsing.__file__).parent / 'README.md').read_text()
    features = tfds_metadata.features((4, 4), label_map.read(source.LABELS_FILE), 'png')
    assert all(f'`{name}`' in card for name in features)
    assert all(f'`{config.name}`' in card for config in builder_lib.Builder.BUILDER_CONFIGS)
