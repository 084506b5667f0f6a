"""How strong the random changes of the policies `light`, `strong` and of a file are; without TensorFlow."""

import dataclasses
import math
import os

from seg_pipeline import errors
from seg_pipeline.dataset import typed_json

Range = tuple[float, float]

_PROBABILITY = (0.0, 1.0)
# What each number of `Strengths` may be, both ends included; of a range, each of its ends.
_RANGES: dict[str, Range] = {
    'flip_left_right': _PROBABILITY,
    'flip_up_down': _PROBABILITY,
    'crop_min_area': (0.01, 1.0),
    'crop_aspect': (0.0, 2.0),
    'rotation': (0.0, 180.0),
    'scale': (0.1, 10.0),
    'translation': (0.0, 1.0),
    'shear': (0.0, 60.0),
    'brightness': (0.0, 1.0),
    'contrast': (0.0, 10.0),
    'saturation': (0.0, 10.0),
    'hue': (0.0, 0.5),
    'gamma': (0.1, 10.0),
    'grey': _PROBABILITY,
    'blur': _PROBABILITY,
    'blur_sigma': (0.1, 50.0),
    'noise': _PROBABILITY,
    'noise_sigma': (0.0, 1.0),
    'cutout': _PROBABILITY,
    'cutout_area': (0.0, 1.0),
    'cutmix': _PROBABILITY,
    'cutmix_area': (0.0, 1.0),
    'copy_paste': _PROBABILITY,
    'copy_paste_share': _PROBABILITY,
}
_MAX_FILE_BYTES = 2**16


@dataclasses.dataclass(frozen=True)
class Strengths:
    """How often and how far each random change goes. By default none changes anything.

    A number or a range from which a change is drawn for each pair: uniformly, or, where it is said, by its logarithm,
    so that a value and its inverse are equally likely. The changes are made in the order of this list, geometry and
    colours in one step each, see `augmentation.RandomChanges`.

    Attributes:
        brightness: the largest change of all values of the image, as a fraction of 255, up or down.
        contrast: range of the factor of each value's distance from the mean grey of the photo.
        saturation: range of the factor of each value's distance from the grey of its pixel.
        hue: the largest turn of the hue, either way, as a fraction of the colour circle.
        grey: probability that all colour is taken away.
        gamma: range of the power to which values, as fractions of 255, are raised; by its logarithm.
        rotation: the largest rotation about the middle of the frame, either way, in degrees.
        scale: range of the factor by which things are enlarged; by its logarithm.
        translation: the largest shift, as a fraction of height and of width, either way.
        shear: the largest slant of horizontal and of vertical lines, either way, in degrees.
        crop_min_area: the least fraction of the frame's area that the random crop keeps; it is at most 1.
        crop_aspect: the largest change of the aspect of what is kept, as a logarithm, either way.
        flip_left_right, flip_up_down: probabilities of mirroring.
        blur: probability of a Gaussian blur.
        blur_sigma: range of its standard deviation, in pixels.
        noise: probability of Gaussian noise, for each value on its own.
        noise_sigma: range of its standard deviation, as a fraction of 255.
        cutout: probability that a rectangle is hidden: black in the image, ignored in the mask.
        cutout_area: range of its area, as a fraction of the frame's.
        cutmix: probability that a rectangle shows what another pair has there, image and mask.
        cutmix_area: range of its area, as a fraction of the frame's.
        copy_paste: probability that whole classes are copied from another pair: their pixels, image and mask.
        copy_paste_share: probability of each class of that pair to be among them; the one with the most pixels, as a
            rule the background, and the ignored id never are.

    Raises:
        ValueError: if a number is outside of what it may be, or a range begins above its end.
    """

    brightness: float = 0.0
    contrast: Range = (1.0, 1.0)
    saturation: Range = (1.0, 1.0)
    hue: float = 0.0
    grey: float = 0.0
    gamma: Range = (1.0, 1.0)
    rotation: float = 0.0
    scale: Range = (1.0, 1.0)
    translation: float = 0.0
    shear: float = 0.0
    crop_min_area: float = 1.0
    crop_aspect: float = 0.0
    flip_left_right: float = 0.0
    flip_up_down: float = 0.0
    blur: float = 0.0
    blur_sigma: Range = (0.5, 1.5)
    noise: float = 0.0
    noise_sigma: Range = (0.01, 0.04)
    cutout: float = 0.0
    cutout_area: Range = (0.02, 0.15)
    cutmix: float = 0.0
    cutmix_area: Range = (0.1, 0.5)
    copy_paste: float = 0.0
    copy_paste_share: float = 0.5

    def __post_init__(self) -> None:
        for name, (least, most) in _RANGES.items():
            value = getattr(self, name)
            ends = value if isinstance(value, tuple) else (value,)
            if not all(least <= end <= most for end in ends):  # so put, nan is in no range
                raise ValueError(f'{name} is {value}, wanted {least:g} to {most:g}')
            if ends[0] > ends[-1]:
                raise ValueError(f'{name} is {value}: its first number is the larger one')


# The augmentation of a plain recipe for photos: ../docs/quality.md has what it is worth.
LIGHT = Strengths(
    brightness=0.2,
    contrast=(0.7, 1.3),
    saturation=(0.6, 1.4),
    hue=0.05,
    crop_min_area=0.5,
    crop_aspect=0.2,
    flip_left_right=0.5,
)
STRONG = dataclasses.replace(
    LIGHT,
    grey=0.1,
    gamma=(0.7, 1.0 / 0.7),
    rotation=15.0,
    scale=(0.8, 1.25),
    translation=0.1,
    shear=8.0,
    crop_min_area=0.35,
    crop_aspect=math.log(4 / 3),
    blur=0.2,
    noise=0.2,
    cutout=0.3,
)

# Values of --augmentation that are no file. Those without strengths are made of other ops, see `augmentation.POLICIES`.
OF_POLICY: dict[str, Strengths | None] = {'none': None, 'article': None, 'light': LIGHT, 'strong': STRONG}


def find(augmentation: str) -> Strengths | None:
    """Returns the strengths that a value of --augmentation stands for: the name of a policy, or a JSON file.

    A file holds one object with the attributes of `Strengths` that are to be other than nothing:

        {"flip_left_right": 0.5, "rotation": 20, "contrast": [0.8, 1.2]}

    Returns:
        The strengths; None for the policies that have none, 'none' and 'article'.

    Raises:
        UserError: there is no such policy or file, or the file holds something else; it names the key and its value.
    """
    if augmentation in OF_POLICY:
        return OF_POLICY[augmentation]
    if not augmentation.endswith('.json'):
        known = ', '.join(OF_POLICY)
        raise errors.UserError(f'unknown --augmentation={augmentation}; known are {known}, and files *.json')
    return _read(augmentation)


def _read(path: str) -> Strengths:
    if not os.path.isfile(path):
        raise errors.UserError(f'--augmentation={path}: there is no such file')
    try:
        with open(path, 'rb') as file:
            content = file.read(_MAX_FILE_BYTES + 1)
        if len(content) > _MAX_FILE_BYTES:
            raise ValueError(f'more than {_MAX_FILE_BYTES} bytes')
        return typed_json.read(Strengths, typed_json.parse(content))
    except OSError as error:
        raise errors.UserError(f'--augmentation={path}: {error.strerror}') from error
    except ValueError as error:
        raise errors.UserError(f'--augmentation={path}: {error}') from error
