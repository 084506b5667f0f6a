"""Where flag files are found, and that the article's holds the article's values."""

import pathlib

import trainer
from trainer import recipes

PACKAGED = pathlib.Path(trainer.__file__).parent / 'recipes'


def test_a_packaged_recipe_is_found_from_anywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    arguments = ['--flagfile=trainer/recipes/article.flags', '--seed=1', '-flagfile=article.flags']
    assert recipes.resolve(arguments) == [
        f'--flagfile={PACKAGED / "article.flags"}',
        '--seed=1',
        f'-flagfile={PACKAGED / "article.flags"}',
    ]


def test_a_file_that_is_there_wins(tmp_path, monkeypatch):
    (tmp_path / 'article.flags').write_text('--seed=1\n')
    monkeypatch.chdir(tmp_path)
    assert recipes.resolve(['--flagfile=article.flags']) == ['--flagfile=article.flags']


def test_what_is_found_nowhere_keeps_the_name_that_was_given():
    assert recipes.resolve(['--flagfile=trainer/recipes/mine.flags']) == ['--flagfile=trainer/recipes/mine.flags']


def test_the_recipes():
    assert sorted(path.stem for path in PACKAGED.glob('*.flags')) == ['article', 'demo', 'pretrained']


def test_the_article_s_values():
    lines = (PACKAGED / 'article.flags').read_text().splitlines()
    values = dict(line[2:].split('=') for line in lines if line.startswith('--'))
    assert values == {
        'encoder': 'densenet121',
        'encoder_weights': 'imagenet',
        'batch_size': '64',
        'epochs': '40',
        'frozen_epochs': '20',
        'steps_per_epoch': '12',
        'seed': '0',
        'optimizer': 'rmsprop',
        'learning_rate': '1e-3',
        'augmentation': 'article',
    }
