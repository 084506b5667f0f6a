"""Options that no run stores: what of them is refused, with one line."""

import pytest

import trainer
from seg_pipeline import errors
from tests import fake_data
from trainer import config, options


@pytest.mark.parametrize(
    'text', ['5,3', '0,4', '0,0', 'a,b', '5', '5,', ',5', '1,2,3', '-1,3', '1.0,2', '١,٢', '1, 2', '']
)
def test_steps_that_no_profile_can_be_of_are_refused(text):
    with pytest.raises(errors.UserError) as raised:
        options.RuntimeOptions(profile_steps=options.parse_profile_steps(text))
    assert str(raised.value).startswith(f'--profile_steps={text}: give the first and the last step')
    assert '\n' not in str(raised.value)


@pytest.mark.parametrize(('text', 'steps'), [('1,1', (1, 1)), ('5,10', (5, 10))])
def test_the_first_and_the_last_step_of_a_profile(text, steps):
    assert options.RuntimeOptions(profile_steps=options.parse_profile_steps(text)).profile_steps == steps


def test_a_profile_of_steps_that_a_run_does_not_have_is_refused_before_it_starts(tmp_path):
    data_dir = fake_data.make_dataset(tmp_path / 'data', num_pairs=4)
    recipe = config.Recipe(
        encoder='tiny', encoder_weights='none', batch_size=2, epochs=2, frozen_epochs=1, steps_per_epoch=3
    )
    runtime = options.RuntimeOptions(profile_steps=(7, 8))
    with pytest.raises(errors.UserError, match='--profile_steps=7,8: the run has 6 steps'):
        trainer.train(data_dir, str(tmp_path / 'run'), recipe, runtime)
    assert not (tmp_path / 'run').exists()


@pytest.mark.parametrize(('name', 'value'), [('pairs', 0), ('pairs', 513), ('seed', -1), ('seed', 2**32)])
def test_numbers_of_the_page_of_pairs_that_mean_nothing_are_refused(name, value):
    with pytest.raises(errors.UserError, match=f'--{name}={value}'):
        options.AugmentationOptions(**{name: value})
