"""Which features are the image and the mask: by type, by name, and what is said where neither tells."""

import numpy as np
import pytest
import tensorflow_datasets as tfds

from seg_pipeline import errors
from seg_pipeline.records import pair_features
from seg_pipeline.records.pair_features import PairFeatures

_F = tfds.features
_PHOTO = _F.Image(shape=(None, None, 3))
_MASK = _F.Image(shape=(None, None, 1))

MASKS = {
    'labeled image': _F.LabeledImage(labels=['a', 'b']),
    'image of 8 bits': _F.Image(shape=(8, 8, 1), dtype=np.uint8),
    'image of 16 bits': _F.Image(shape=(8, 8, 1), dtype=np.uint16, encoding_format='png'),
    'tensor of rank 2': _F.Tensor(shape=(8, 8), dtype=np.int32),
    'tensor of rank 3': _F.Tensor(shape=(8, 8, 1), dtype=np.int64),
    'truth values': _F.Tensor(shape=(8, 8), dtype=np.bool_),
}
OTHERS = {
    'text': _F.Text(),
    'class of the photo': _F.ClassLabel(num_classes=3),
    'scalar': _F.Scalar(np.int32),
    'box': _F.BBoxFeature(),
    'boxes': _F.Sequence(_F.BBoxFeature()),
    'masks of instances': _F.Sequence(_F.Image(shape=(None, None, 1))),
    'depth': _F.Tensor(shape=(8, 8), dtype=np.float32),
    'depth image': _F.Image(shape=(8, 8, 1), dtype=np.float32),
    'vector': _F.Tensor(shape=(8,), dtype=np.int32),
    'flow': _F.Tensor(shape=(8, 8, 2), dtype=np.int32),
    'video': _F.Video(shape=(None, 8, 8, 3)),
    'jpeg of one channel': _F.Image(shape=(8, 8, 1), encoding_format='jpeg'),
    'transparent': _F.Image(shape=(8, 8, 4)),
    '16 bits': _F.Image(shape=(8, 8, 3), dtype=np.uint16, encoding_format='png'),
}


def _choose(features, image_feature=None, mask_feature=None):
    return pair_features.choose('DIR', _F.FeaturesDict(features), image_feature, mask_feature)


@pytest.mark.parametrize('mask', MASKS.values(), ids=MASKS)
def test_a_mask_is_found_among_what_is_none(mask):
    found = _choose({'photo': _PHOTO, 'truth': mask, **OTHERS})
    assert (found.image, found.mask) == ('photo', 'truth')
    assert found.names == (('a', 'b') if isinstance(mask, _F.LabeledImage) else ())


@pytest.mark.parametrize('name', OTHERS)
def test_what_is_no_mask_is_refused_by_name_too(name):
    with pytest.raises(
        errors.UserError, match=f'^--mask_feature={name} is .*: wanted a LabeledImage, or .*has .*photo'
    ):
        _choose({'photo': _PHOTO, 'truth': _MASK, **OTHERS}, mask_feature=name)


@pytest.mark.parametrize('name', ['truth', 'transparent', '16 bits', 'video', 'text'])
def test_what_is_no_image_is_refused_by_name_too(name):
    with pytest.raises(errors.UserError, match=f'^--image_feature={name} is .*: wanted an Image of 3 channels, uint8;'):
        _choose({'photo': _PHOTO, 'truth': _MASK, **OTHERS}, image_feature=name)


def test_where_there_are_several_one_is_named():
    features = {'left': _PHOTO, 'right': _PHOTO, 'classes': _MASK, 'parts': _MASK}
    listed = (
        r'it has classes \(Image None x None x 1 uint8\), left \(Image None x None x 3 uint8\), '
        r'parts \(Image None x None x 1 uint8\), right \(Image None x None x 3 uint8\)$'
    )
    with pytest.raises(
        errors.UserError, match=r'^DIR: each of left, right may be the image: name one by --image_feature; '
    ):
        _choose(features)
    with pytest.raises(
        errors.UserError, match=f'each of classes, parts may be the mask: name one by --mask_feature; {listed}'
    ):
        _choose(features, image_feature='right')
    assert _choose(features, 'right', 'parts') == PairFeatures('right', 'parts', None, ())
    with pytest.raises(errors.UserError, match=f'^--mask_feature=part: DIR has no such feature; {listed}'):
        _choose(features, 'right', 'part')


@pytest.mark.parametrize(('features', 'what'), [({'truth': _MASK}, 'image'), ({'photo': _PHOTO}, 'mask')])
def test_where_there_is_none_the_features_are_listed(features, what):
    with pytest.raises(
        errors.UserError, match=f'^DIR: none of its features is an? .*: name one by --{what}_feature; it has'
    ):
        _choose({**features, **OTHERS})


def test_features_in_dictionaries_have_the_names_of_both():
    features = {'left': {'photo': _PHOTO, 'depth': OTHERS['depth']}, 'truth': {'of': {'classes': _MASK}}}
    found = _choose(features)
    assert (found.image, found.mask) == ('left/photo', 'truth/of/classes')
    left = pair_features.only(_F.FeaturesDict(features), (found.image, found.mask))
    assert {name: type(value) for name, value in pair_features.flattened(_F.FeaturesDict(left))} == {
        'left/photo': _F.Image,
        'truth/of/classes': _F.Image,
    }


@pytest.mark.parametrize(
    ('photo', 'mask', 'size'),
    [
        ((32, 48, 3), (32, 48, 1), (32, 48)),
        ((32, 48, 3), (48, 32, 1), None),
        ((32, 48, 3), (None, None, 1), None),
        ((None, 48, 3), (None, 48, 1), None),
    ],
)
def test_the_size_where_all_have_one(photo, mask, size):
    assert _choose({'photo': _F.Image(shape=photo), 'truth': _F.Image(shape=mask)}).image_size == size


def _labels(names=(), num_classes=None, offset=0):
    return pair_features.label_map('DIR', PairFeatures('photo', 'truth', None, names), num_classes, offset).names


def test_classes_have_the_names_of_the_values_that_lead_to_them():
    assert _labels(('sky', 'tree', 'road')) == ('sky', 'tree', 'road')
    assert _labels(('void', 'tree', 'road'), offset=-1) == ('tree', 'road')
    assert _labels(('tree', 'road'), offset=1) == ('class_0', 'tree', 'road')
    assert _labels(('void', 'tree', 'road'), 2, -1) == ('tree', 'road')
    assert _labels(num_classes=3) == ('class_0', 'class_1', 'class_2')
    assert _labels(num_classes=2, offset=-1) == ('class_0', 'class_1')


def test_a_number_of_classes_without_names_has_the_names_that_are_made():
    features = {'photo': _PHOTO, 'truth': _F.LabeledImage(labels=3)}
    assert _choose(features).names == ('class_0', 'class_1', 'class_2')
    assert _choose({'photo': _PHOTO, 'truth': _F.LabeledImage(labels=None)}).names == ()


@pytest.mark.parametrize(
    ('names', 'num_classes', 'offset', 'message'),
    [
        ((), None, 0, '^DIR: feature truth does not name its classes: give their number as --num_classes$'),
        (('a', 'b'), 3, 0, '^--num_classes=3: feature truth of DIR has 2 classes with --label_offset=0$'),
        (('a', 'b'), 2, -1, '^--num_classes=2: feature truth of DIR has 1 class with --label_offset=-1$'),
        ((), 2, 2, '^--label_offset=2: with 2 classes no value from 0 on is one$'),
        (tuple(map('{:03}'.format, range(256))), None, 0, 'has 256 classes; at most 255'),
        (('a', 'a b\nc'), None, 0, 'truth: the name of class 1'),
    ],
)
def test_classes_that_cannot_be(names, num_classes, offset, message):
    with pytest.raises(errors.UserError, match=message):
        _labels(names, num_classes, offset)
