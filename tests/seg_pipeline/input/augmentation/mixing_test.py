"""CutMix and copy-paste: every pixel comes from one of the two pairs, and both are those of the pure stream."""

import numpy as np
import pytest
import tensorflow as tf

from seg_pipeline.input import augmentation, ordering, pipeline
from seg_pipeline.input.strengths import Strengths
from tests.seg_pipeline.input import fake_shards

IGNORE = 255
CUTMIX = Strengths(cutmix=1.0, cutmix_area=(0.1, 0.4))
COPY_PASTE = Strengths(copy_paste=1.0)


def _pair(first_id, seed):
    random = np.random.default_rng(seed)
    mask = random.integers(first_id, first_id + 5, (20, 30, 1), np.uint8)
    mask[:15] = first_id  # the background
    mask[16, :4] = IGNORE
    return random.integers(0, 256, (20, 30, 3), np.uint8), mask


ONE, OTHER = _pair(0, 1), _pair(10, 2)


def _mixed(strengths, seed):
    partner = augmentation.Partner(lambda: tuple(map(tf.constant, OTHER)), tf.constant([9, 9]))
    policy = (augmentation.RandomChanges(strengths),)
    image, mask = augmentation.apply(policy, *map(tf.constant, ONE), seed, IGNORE, partner)
    return image.numpy(), mask.numpy()


@pytest.mark.parametrize('strengths', [CUTMIX, COPY_PASTE, Strengths(cutmix=1.0, copy_paste=1.0)])
def test_every_pixel_comes_from_one_of_the_pairs_image_and_mask_alike(strengths):
    for number in range(10):
        image, mask = _mixed(strengths, (0, number))
        from_one, from_other = ((image == pair[0]).all(axis=-1) & (mask == pair[1])[..., 0] for pair in (ONE, OTHER))
        assert (from_one | from_other).all()
        assert from_one.any()
        assert from_other.any()


def test_cutmix_shows_one_rectangle_of_its_range():
    shares = []
    for number in range(20):
        mask = _mixed(CUTMIX, (0, number))[1][..., 0]
        rows, columns = np.nonzero((mask >= 10) & (mask < IGNORE))
        box = np.s_[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
        np.testing.assert_array_equal(mask[box], OTHER[1][..., 0][box])
        shares.append(mask[box].size / mask.size)
    assert 0.07 < min(shares) < 0.2
    assert 0.3 < max(shares) < 0.45


def test_copy_paste_copies_whole_classes_but_neither_background_nor_ignored():
    seen = []
    for number in range(20):
        mask = _mixed(COPY_PASTE, (0, number))[1]
        copied = set(mask.flat) - {*range(5), IGNORE}
        assert copied <= {11, 12, 13, 14}
        for one in copied:
            assert (mask[OTHER[1] == one] == one).all()
        np.testing.assert_array_equal(mask[OTHER[1] == IGNORE], ONE[1][OTHER[1] == IGNORE])
        seen += copied
    assert all(4 < seen.count(one) < 16 for one in (11, 12, 13, 14))


def test_the_partner_is_changed_by_its_own_seed():
    strengths = Strengths(brightness=0.3, cutmix=1.0, cutmix_area=(1.0, 1.0))
    policy = (augmentation.RandomChanges(strengths),)
    alone = augmentation.apply(policy, *map(tf.constant, OTHER), (9, 9), IGNORE)

    for number in range(5):
        # Of an area of 1 the rectangle is the frame, where the aspect leaves it both sides.
        image, mask = _mixed(strengths, (0, number))
        shown = (mask >= 10) & (mask < IGNORE)
        np.testing.assert_array_equal(image[shown[..., 0]], alone[0].numpy()[shown[..., 0]])


@pytest.mark.parametrize('budget', [1 << 20, 0], ids=['in_memory', 'streamed'])
def test_replicas_workers_and_a_resumed_run_see_the_same_pairs(tmp_path, budget):
    split = fake_shards.write(tmp_path)
    policy = (augmentation.RandomChanges(Strengths(brightness=0.2, cutmix=0.7, copy_paste=0.3)),)
    options = {
        'global_batch_size': 12, 'seed': 7, 'policy': policy, 'cache_budget_bytes': budget, 'shuffle_buffer': 4,
    }  # fmt: skip

    def pairs(steps, batch_size, **more):
        batches = pipeline.train_batches(split, batch_size=batch_size, **(options | {'start_step': 0} | more))
        taken = list(batches.take(steps * 12 // batch_size // more.get('num_workers', 1)).as_numpy_iterator())
        return np.concatenate([np.concatenate(batch, axis=-1) for batch in taken])

    complete = pairs(3, 12)
    for replicas in (2, 4):
        np.testing.assert_array_equal(pairs(3, 12 // replicas), complete)
    np.testing.assert_array_equal(pairs(1, 12, start_step=2), complete[24:])
    first, second = (pairs(3, 6, num_workers=2, worker=worker) for worker in (0, 1))
    steps = [part[6 * step : 6 * step + 6] for step in range(3) for part in (first, second)]
    np.testing.assert_array_equal(np.concatenate(steps), complete)
    masks = complete[..., 3].reshape(36, -1)
    assert 5 < sum(len(set(mask)) == 2 for mask in masks) < 36


@pytest.mark.parametrize('start_step', [1, 2])
def test_an_odd_batch_begins_in_the_middle_of_a_pair(tmp_path, start_step):
    split = fake_shards.write(tmp_path)
    policy = (augmentation.RandomChanges(CUTMIX),)

    def masks(steps, start_step):
        batches = pipeline.train_batches(
            split, batch_size=3, global_batch_size=3, seed=1, start_step=start_step, policy=policy,
            cache_budget_bytes=1 << 20,
        )  # fmt: skip
        return np.concatenate([mask for _, mask in batches.take(steps).as_numpy_iterator()])

    np.testing.assert_array_equal(masks(3, start_step), masks(3 + start_step, 0)[3 * start_step :])


def test_partners_are_neighbours_in_the_stream(tmp_path):
    split = fake_shards.write(tmp_path)
    batches = pipeline.train_batches(
        split, batch_size=10, global_batch_size=10, seed=1, start_step=0,
        policy=(augmentation.RandomChanges(CUTMIX),), cache_budget_bytes=1 << 20,
    )  # fmt: skip
    order = [int(index) for _, index in ordering.shuffled_indices(10, 1, 0).take(10)]
    ((_, masks),) = batches.take(1).as_numpy_iterator()
    for number, mask in enumerate(masks):
        assert set(mask.flat) == {order[number], order[number ^ 1]}
