"""What a value of --augmentation stands for, and what a file may say."""

import dataclasses
import json
import math
import subprocess
import sys

import pytest

from seg_pipeline import errors
from seg_pipeline.input import strengths
from seg_pipeline.input.strengths import LIGHT, STRONG, Strengths


def test_the_named_policies():
    assert strengths.find('none') is None
    assert strengths.find('article') is None
    assert strengths.find('light') == LIGHT
    assert strengths.find('strong') == STRONG


def test_light_is_the_augmentation_of_the_yardstick():
    assert Strengths(
        crop_min_area=0.5, crop_aspect=0.2, flip_left_right=0.5, brightness=0.2, contrast=(0.7, 1.3),
        saturation=(0.6, 1.4), hue=0.05,
    ) == LIGHT  # fmt: skip


def test_a_file_says_what_is_other_than_nothing(tmp_path):
    path = tmp_path / 'mine.json'
    path.write_text('{"flip_left_right": 0.5, "rotation": 20, "contrast": [0.8, 1]}')
    assert strengths.find(str(path)) == Strengths(flip_left_right=0.5, rotation=20.0, contrast=(0.8, 1.0))


@pytest.mark.parametrize('known', [LIGHT, STRONG, Strengths()])
def test_what_is_printed_as_json_is_read_again(tmp_path, known):
    path = tmp_path / 'mine.json'
    path.write_text(json.dumps(dataclasses.asdict(known)))
    assert strengths.find(str(path)) == known


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('', 'Expecting value'),
        ('[]', r'the value is \[\], wanted an object'),
        ('{"rotate": 20}', "'rotate' is unknown"),
        ('{"rotation": "20"}', "rotation is '20', wanted a number"),
        ('{"rotation": 181}', 'rotation is 181, wanted 0 to 180'),
        ('{"rotation": -1}', 'rotation is -1, wanted 0 to 180'),
        ('{"rotation": NaN}', 'NaN is not JSON'),
        ('{"rotation": 1e999}', '1e999 is too large'),
        ('{"contrast": 1.2}', 'contrast is 1.2, wanted an array of 2'),
        ('{"contrast": [1.2, 0.8]}', r'contrast is \(1.2, 0.8\): its first number is the larger one'),
        ('{"flip_left_right": true}', 'flip_left_right is True, wanted a number'),
        ('{"blur": 1, "blur": 0}', "'blur' appears twice"),
        ('{"blur": 0}' + ' ' * 2**16, 'more than 65536 bytes'),
    ],
)
def test_a_wrong_file_is_named_with_its_value(tmp_path, text, message):
    path = tmp_path / 'mine.json'
    path.write_text(text)
    with pytest.raises(errors.UserError, match=rf'--augmentation=.*mine\.json: {message}') as caught:
        strengths.find(str(path))
    assert '\n' not in str(caught.value)


def test_an_absent_file_and_an_unknown_name():
    with pytest.raises(errors.UserError, match=r'--augmentation=/nowhere/a\.json: there is no such file'):
        strengths.find('/nowhere/a.json')
    with pytest.raises(
        errors.UserError, match='unknown --augmentation=articel; known are none, article, light, strong'
    ):
        strengths.find('articel')


@pytest.mark.parametrize('field', dataclasses.fields(Strengths), ids=lambda field: field.name)
def test_every_number_has_a_range(field):
    wrong = (math.nan, math.nan) if isinstance(field.default, tuple) else math.nan
    with pytest.raises(ValueError, match=f'{field.name} is'):
        Strengths(**{field.name: wrong})


def test_strengths_are_read_without_tensorflow():
    program = 'import sys; from seg_pipeline.input import strengths; assert "tensorflow" not in sys.modules'
    subprocess.run([sys.executable, '-c', program], check=True)
