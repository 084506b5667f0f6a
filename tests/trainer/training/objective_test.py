"""Every loss by hand, on pixels whose probabilities are 3/4 and 1/4."""

import math

import numpy as np
import pytest
import tensorflow as tf

from trainer import config
from trainer.training import losses, objective

IGNORE = 255
LOG3 = math.log(3)


def _value(logits, masks, terms, **options):
    """The loss per valid pixel."""
    loss = objective.Objective(IGNORE, terms, **options)
    sums = loss.sums(tf.constant(masks, tf.uint8), tf.constant(logits, tf.float32))
    return float(loss.value(sums)) / int(sums['pixels'])


def _two_pixels(terms, **options):
    """Of a pixel of class 0, one of class 1 and an ignored one; the probabilities of all are (3/4, 1/4)."""
    return _value([[[[LOG3, 0], [LOG3, 0], [0, 9]]]], [[[[0], [1], [IGNORE]]]], terms, **options)


@pytest.mark.parametrize(
    ('terms', 'options', 'expected'),
    [
        ({'cross_entropy': 1}, {}, (math.log(4 / 3) + math.log(4)) / 2),
        ({'cross_entropy': 1}, {'class_weights': (1.0, 3.0)}, (math.log(4 / 3) + 3 * math.log(4)) / 2),
        # The target of class 0 is (0.9, 0.1).
        (
            {'cross_entropy': 1},
            {'label_smoothing': 0.2},
            (0.9 * math.log(4 / 3) + 0.1 * math.log(4) + 0.1 * math.log(4 / 3) + 0.9 * math.log(4)) / 2,
        ),
        ({'focal': 1}, {'focal_gamma': 2.0}, ((1 / 4) ** 2 * math.log(4 / 3) + (3 / 4) ** 2 * math.log(4)) / 2),
        ({'focal': 1}, {'class_weights': (0.0, 2.0), 'focal_gamma': 1.0}, 2 * (3 / 4) * math.log(4) / 2),
        ({'focal': 1}, {'focal_gamma': 0.0}, (math.log(4 / 3) + math.log(4)) / 2),
        # Class 0: overlap 3/4, predicted 3/2, true 1. Class 1: 1/4, 1/2, 1.
        ({'dice': 1}, {}, ((1 - 1.5 / 2.5) + (1 - 0.5 / 1.5)) / 2),
        # Class 0: false positive 3/4, false negative 1/4. Class 1: the other way round.
        (
            {'tversky': 1},
            {'tversky_alpha': 0.3},
            ((1 - 0.75 / (0.75 + 0.3 * 0.75 + 0.7 * 0.25)) + (1 - 0.25 / (0.25 + 0.3 * 0.25 + 0.7 * 0.75))) / 2,
        ),
        # The harder of the two pixels.
        ({'cross_entropy': 1}, {'hard_pixel_share': 0.5}, math.log(4)),
        (
            {'cross_entropy': 2, 'dice': 0.5},
            {},
            math.log(4 / 3) + math.log(4) + 0.25 * ((1 - 1.5 / 2.5) + (1 - 0.5 / 1.5)),
        ),
    ],
)
def test_by_hand(terms, options, expected):
    assert _two_pixels(terms, **options) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize('name', ['dice', 'tversky'])
def test_a_class_that_the_truth_does_not_have_enters_no_mean(name):
    # All of class 0, predicted as class 0 with certainty, beside a class 1 that nobody sees: no loss at all.
    assert _value([[[[50, 0, 0]]]], [[[[0]]]], {name: 1.0}) == pytest.approx(0, abs=1e-6)


def test_dice_is_half_and_half_tversky():
    assert _two_pixels({'dice': 1.0}) == pytest.approx(_two_pixels({'tversky': 1.0}, tversky_alpha=0.5), rel=1e-6)


def test_hard_pixels_are_a_share_of_the_valid_ones_of_each_image():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(3, 4, 5, 6))
    masks = rng.integers(0, 6, (3, 4, 5, 1))
    masks[1, :3] = IGNORE  # 5 valid pixels are left, of which 0.3 are 1.5: 2
    masks[2] = IGNORE
    pixels = losses.Pixels.of(tf.constant(masks), tf.constant(logits), IGNORE)
    total, count = pixels.sum_of_hardest(pixels.cross_entropy, 0.3)
    shifted = (
        np.log(np.exp(logits).sum(-1)) - np.take_along_axis(logits, np.where(masks == IGNORE, 0, masks), -1)[..., 0]
    )
    expected = np.sort(shifted[0].ravel())[-6:].sum() + np.sort(shifted[1, 3])[-2:].sum()
    assert int(count) == 6 + 2
    assert float(total) == pytest.approx(expected, rel=1e-5)
    with tf.GradientTape() as tape:
        variable = tf.Variable(logits, dtype=tf.float32)
        pixels = losses.Pixels.of(tf.constant(masks), variable, IGNORE)
        total, _ = pixels.sum_of_hardest(pixels.cross_entropy, 0.3)
    changed = (tape.gradient(total, variable).numpy() != 0).any(-1)
    np.testing.assert_array_equal(changed.sum((1, 2)), [6, 2, 0])


def test_one_pixel_of_an_image_is_kept_at_least():
    assert _two_pixels({'cross_entropy': 1.0}, hard_pixel_share=1e-6) == pytest.approx(math.log(4), rel=1e-5)


@pytest.mark.parametrize('name', config.LOSSES)
@pytest.mark.parametrize('share', [1.0, 0.5])
def test_a_batch_of_ignored_pixels_has_no_loss_and_no_gradient(name, share):
    loss = objective.Objective(IGNORE, {name: 1.0}, hard_pixel_share=share)
    with tf.GradientTape() as tape:
        logits = tf.Variable(tf.zeros((1, 2, 2, 3)))
        value = loss.value(loss.sums(tf.fill((1, 2, 2, 1), tf.constant(IGNORE, tf.uint8)), logits))
    assert float(value) == 0
    assert not np.any(tape.gradient(value, logits))


@pytest.mark.parametrize('name', config.LOSSES)
@pytest.mark.parametrize('certainty', [-1000.0, 1000.0])
def test_certain_pixels_have_finite_gradients(name, certainty):
    loss = objective.Objective(IGNORE, {name: 1.0}, focal_gamma=0.5)
    with tf.GradientTape() as tape:
        logits = tf.Variable([[[[certainty, 0.0]]]])
        value = loss.value(loss.sums(tf.zeros((1, 1, 1, 1), tf.uint8), logits))
    assert np.isfinite(tape.gradient(value, logits)).all()


def test_a_recipe_names_its_objective():
    recipe = config.Recipe(
        loss='cross_entropy:2,tversky,focal:0.5',
        label_smoothing=0.1,
        focal_gamma=3.0,
        tversky_alpha=0.2,
        hard_pixel_share=0.25,
    )
    assert objective.Objective.of(recipe, 7, (1.0, 2.0)) == objective.Objective(
        ignore_id=7,
        terms={'cross_entropy': 2.0, 'tversky': 1.0, 'focal': 0.5},
        class_weights=(1.0, 2.0),
        label_smoothing=0.1,
        focal_gamma=3.0,
        tversky_alpha=0.2,
        hard_pixel_share=0.25,
    )
