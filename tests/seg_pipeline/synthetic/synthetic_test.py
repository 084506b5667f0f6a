"""The drawn set: equal bytes for equal seeds, the layout of Clothing Co-Parsing, and masks that match the photos."""

import csv
import hashlib
import pathlib
import subprocess
import sys

import cv2
import numpy as np
import pytest

from seg_pipeline import errors
from seg_pipeline.synthetic import pair_set


def _digests(root: pathlib.Path) -> dict[str, str]:
    files = (path for path in root.rglob('*') if path.is_file())
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, '-m', 'seg_pipeline.synthetic', *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture(scope='module')
def drawn(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    root = tmp_path_factory.mktemp('drawn')
    pair_set.write(str(root), num_pairs=6, seed=0)
    return root


def test_the_command_draws_the_same_bytes_in_another_process(drawn: pathlib.Path, tmp_path: pathlib.Path) -> None:
    done = _run(f'--output_dir={tmp_path}', '--pairs=6', '--seed=0')
    assert done.returncode == 0, done.stderr
    assert str(tmp_path) in done.stdout
    assert _digests(tmp_path) == _digests(drawn)


def test_the_layout_is_that_of_the_real_set(drawn: pathlib.Path) -> None:
    numbers = [f'{number:04d}' for number in range(1, 7)]
    assert sorted(p.name for p in (drawn / 'png_images/IMAGES').iterdir()) == [f'img_{n}.png' for n in numbers]
    assert sorted(p.name for p in (drawn / 'png_masks/MASKS').iterdir()) == [f'seg_{n}.png' for n in numbers]
    with open(drawn / 'labels.csv', newline='') as file:
        rows = list(csv.reader(file))
    assert rows[0] == ['i', 'label_list']
    assert [int(row[0]) for row in rows[1:]] == list(range(59))
    assert rows[1][1] == 'null'


def test_masks_are_of_one_channel_and_of_the_size_of_their_photo(drawn: pathlib.Path) -> None:
    for number in range(1, 7):
        photo = cv2.imread(str(drawn / f'png_images/IMAGES/img_{number:04d}.png'), cv2.IMREAD_UNCHANGED)
        mask = cv2.imread(str(drawn / f'png_masks/MASKS/seg_{number:04d}.png'), cv2.IMREAD_UNCHANGED)
        assert photo.dtype == mask.dtype == np.uint8
        assert photo.shape == (*mask.shape, 3)
        assert mask.shape[1] == 275
        assert 400 <= mask.shape[0] <= 437
        assert mask.max() < 59


def test_figures_wear_many_classes_before_a_background_of_three_quarters() -> None:
    masks = [pair_set.draw_pair(seed=0, number=number)[1] for number in range(1, 25)]
    counts = sum(np.bincount(mask.ravel(), minlength=59) for mask in masks)
    assert 0.70 < counts[0] / counts.sum() < 0.80
    assert np.count_nonzero(counts) >= 15
    assert min(len(np.unique(mask)) for mask in masks) >= 5


def test_a_class_shows_in_the_photo_where_the_mask_has_it() -> None:
    # Skin is always redder than blue; were photo and mask drawn apart, these pixels would be walls and skies.
    for number in range(1, 7):
        photo, mask = pair_set.draw_pair(seed=1, number=number)
        red, _, blue = photo[mask == 41].astype(float).mean(axis=0)
        assert red > 1.15 * blue


def test_seed_and_number_change_the_drawing() -> None:
    first = pair_set.draw_pair(seed=0, number=1, size=(64, 48))[0]
    for seed, number in ((0, 2), (1, 1)):
        assert (pair_set.draw_pair(seed, number, size=(64, 48))[0] != first).mean() > 0.5


def test_drawing_again_replaces_an_earlier_set(tmp_path: pathlib.Path) -> None:
    pair_set.write(str(tmp_path), num_pairs=3, seed=0)
    pair_set.write(str(tmp_path), num_pairs=1, seed=5)
    assert len(list((tmp_path / 'png_images/IMAGES').iterdir())) == 1
    assert len(list((tmp_path / 'png_masks/MASKS').iterdir())) == 1


def test_a_directory_with_other_contents_is_not_changed(tmp_path: pathlib.Path) -> None:
    photo = tmp_path / 'png_images/IMAGES/img_0001.png'
    photo.parent.mkdir(parents=True)
    photo.write_bytes(b'mine')
    done = _run(f'--output_dir={tmp_path}', '--pairs=1')
    assert done.returncode == 2
    assert done.stderr.count('\n') == 1
    assert str(tmp_path) in done.stderr
    assert photo.read_bytes() == b'mine'
    assert [path for path in tmp_path.rglob('*') if path.is_file()] == [photo]


def test_a_path_below_a_file_is_named(tmp_path: pathlib.Path) -> None:
    (tmp_path / 'file').write_text('')
    with pytest.raises(errors.UserError, match='file'):
        pair_set.write(str(tmp_path / 'file' / 'set'), num_pairs=1, seed=0)
