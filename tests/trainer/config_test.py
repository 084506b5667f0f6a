"""RUN/config.json: there and back, and what makes another run of it."""

import dataclasses
import json
import math
import re

import pytest

from seg_pipeline import errors
from seg_pipeline.imaging import masks
from seg_pipeline.input.strengths import LIGHT
from seg_pipeline.labels import label_map, remapping
from trainer import config, options

DATA = config.Data('clothing_parsing', 'f' * 64, (32, 64), label_map.LabelMap.default(('background', 'shirt')))


def _run(**recipe):
    return config.RunConfig(config.Recipe(**recipe), DATA)


def test_what_is_written_is_read(tmp_path):
    run = _run(encoder='tiny', fine_tune_learning_rate=1e-4, epochs=30)
    config.write(str(tmp_path / 'deep' / 'run'), run)
    assert config.read(str(tmp_path / 'deep' / 'run')) == run
    assert run.image_size == (32, 64)
    assert run.label_map.names == ('background', 'shirt')


def test_a_run_reads_masks_as_its_data_were_read(tmp_path):
    source = label_map.SourceTable((0, 7, 900), ('null', 'skin', 'hat'), ((0, 0, 0), (1, 1, 1), (2, 2, 2)))
    mapping = remapping.Remapping(source, (0, 1, 255))
    data = dataclasses.replace(DATA, resize='crop', mask_format='ids', remapping=mapping.to_json())
    config.write(str(tmp_path), config.RunConfig(config.Recipe(), data))
    found = config.read(str(tmp_path)).data
    assert found == data
    assert found.mask_reader == masks.MaskReader(DATA.label_map, 'ids', mapping)
    assert DATA.mask_reader == masks.MaskReader(DATA.label_map)


@pytest.mark.parametrize('text', ['', '{}', '[]', '{"schema_version": 9}', '{"schema_version": 1, "recipe": {"x": 1}}'])
def test_a_damaged_file_is_named(tmp_path, text):
    (tmp_path / 'config.json').write_text(text)
    with pytest.raises(errors.UserError, match=r'config\.json'):
        config.read(str(tmp_path))


@pytest.mark.parametrize(
    ('part', 'name', 'value'),
    [
        ('recipe', 'learning_rate', math.nan),
        ('recipe', 'learning_rate', '0.1'),
        ('recipe', 'epochs', math.inf),
        ('recipe', 'encoder', None),
        ('recipe', 'optimizer', [None]),
        ('recipe', 'mixed_precision', 1),
        ('recipe', 'precision', None),
        ('data', 'image_size', [1, 2, 3]),
        ('data', 'remapping', {'ids': 1}),
        ('data', 'fingerprint', 1),
    ],
)
def test_a_value_of_another_type_is_named(tmp_path, part, name, value):
    content = _run().to_json()
    content[part][name] = value
    (tmp_path / 'config.json').write_text(json.dumps(content))
    with pytest.raises(errors.UserError, match=r'config\.json is damaged'):
        config.read(str(tmp_path))


@pytest.mark.parametrize('text', ['[' * 100_000, '{"schema_version": "a\\nb"}'])
def test_a_hostile_file_gives_one_line(tmp_path, text):
    (tmp_path / 'config.json').write_text(text)
    with pytest.raises(errors.UserError) as caught:
        config.read(str(tmp_path))
    assert '\n' not in str(caught.value)


def test_no_run(tmp_path):
    with pytest.raises(errors.UserError, match=r'is no run of trainer\.train'):
        config.read(str(tmp_path))


def test_an_absent_or_empty_directory_starts_a_run(tmp_path):
    assert not config.check_continues(str(tmp_path / 'new'), _run())
    assert not config.check_continues(str(tmp_path), _run())


def test_the_same_recipe_continues_and_may_go_further(tmp_path):
    config.write(str(tmp_path), _run())
    assert config.check_continues(str(tmp_path), _run())
    assert config.check_continues(str(tmp_path), _run(epochs=60))


@pytest.mark.parametrize('schedule', ['cosine', 'polynomial'])
def test_a_learning_rate_that_has_fallen_is_not_taken_further(tmp_path, schedule):
    config.write(str(tmp_path), _run(schedule=schedule))
    assert config.check_continues(str(tmp_path), _run(schedule=schedule))
    with pytest.raises(errors.UserError, match='another recipe: --epochs is 40 there and 60 here'):
        config.check_continues(str(tmp_path), _run(schedule=schedule, epochs=60))


@pytest.mark.parametrize(('switch', 'precision'), [(False, 'float32'), (True, 'bfloat16')])
def test_a_run_of_a_version_with_a_switch_for_bfloat16_is_read(tmp_path, switch, precision):
    content = _run().to_json()
    del content['recipe']['precision']
    content['recipe']['mixed_precision'] = switch
    (tmp_path / 'config.json').write_text(json.dumps(content))
    assert config.check_continues(str(tmp_path), _run(precision=precision))


def test_a_run_of_a_version_with_fewer_options_is_read(tmp_path):
    content = _run().to_json()
    for name in ('schedule', 'warmup_steps', 'momentum', 'weight_decay', 'encoder_learning_rate_scale', 'loss'):
        del content['recipe'][name]
    (tmp_path / 'config.json').write_text(json.dumps(content))
    assert config.check_continues(str(tmp_path), _run())


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('', "'' is none of cross_entropy, focal, dice, tversky"),
        ('dice,lovasz', "'lovasz' is none of"),
        ('dice:1,dice:2', 'dice appears twice'),
        *((f'dice:{weight}', f'{weight!r} is no weight') for weight in ('', 'x', '0', '-1', 'nan', 'inf', '1e7', '²')),
    ],
)
def test_a_loss_that_is_none(text, message):
    with pytest.raises(errors.UserError, match=f'^--loss={re.escape(text)}: {re.escape(message)}'):
        config.Recipe(loss=text)


def test_the_terms_of_a_loss():
    assert config.parse_loss('cross_entropy,dice:0.5') == {'cross_entropy': 1.0, 'dice': 0.5}


@pytest.mark.parametrize(
    'options',
    [
        {'loss': 'dice', 'class_weights': 'median'},
        {'loss': 'dice,tversky', 'hard_pixel_share': 0.5},
        {'loss': 'focal', 'label_smoothing': 0.1},
    ],
)
def test_an_option_that_the_loss_does_not_have_is_refused(options):
    with pytest.raises(errors.UserError, match=f'changes nothing in --loss={options["loss"]}; add cross_entropy'):
        config.Recipe(**options)


def test_a_batch_that_has_no_equal_parts_is_refused():
    with pytest.raises(errors.UserError, match='--batch_size=64 has no --accumulation_steps=3 equal parts'):
        config.Recipe(accumulation_steps=3)


@pytest.mark.parametrize(
    ('make', 'name'),
    [
        *((config.Recipe, name) for name in ('optimizer', 'schedule', 'class_weights', 'precision')),
        (options.EvaluationOptions, 'tta'),
        (options.PredictionOptions, 'tta'),
    ],
)
def test_an_unknown_choice_is_refused(make, name):
    with pytest.raises(errors.UserError, match=f'^unknown --{name}=other; known are '):
        make(**{name: 'other'})


def test_momentum_of_an_optimizer_that_has_its_own_is_refused():
    with pytest.raises(errors.UserError, match=r'--momentum=0.9 is for --optimizer=rmsprop or sgd, not adam'):
        config.Recipe(optimizer='adam', momentum=0.9)


def test_every_other_difference_is_named_with_both_values(tmp_path):
    config.write(str(tmp_path), _run())
    wanted = dataclasses.replace(_run(batch_size=32, optimizer='sgd'), data=dataclasses.replace(DATA, fingerprint='0'))
    with pytest.raises(errors.UserError) as raised:
        config.check_continues(str(tmp_path), wanted)
    assert '--batch_size is 64 there and 32 here; --optimizer is rmsprop there and sgd here' in str(raised.value)
    assert f'data fingerprint is {"f" * 64} there and 0 here' in str(raised.value)


# Another value than the default, where neither 1 more nor 'other' is one.
_OTHER = {
    'batch_norm_momentum': 0.5,
    'encoder_batch_norm': 'kept',
    'loss': 'cross_entropy,dice',
    'class_weights': 'median',
    'hard_pixel_share': 0.5,
    'tversky_alpha': 0.5,
    'optimizer': 'sgd',
    'ema_decay': 0.5,
    'repeat_factor_threshold': 0.5,
    'schedule': 'cosine',
    'precision': 'float16',
}


@pytest.mark.parametrize('name', [field.name for field in dataclasses.fields(config.Recipe) if field.name != 'epochs'])
def test_no_option_of_the_recipe_is_forgotten(tmp_path, name):
    config.write(str(tmp_path), _run())
    value = getattr(config.Recipe(), name)
    other = _OTHER.get(name, 'other' if isinstance(value, str) else (value or 0) + 1)
    with pytest.raises(errors.UserError, match=f'--{name} is'):
        config.check_continues(str(tmp_path), _run(**{name: other}))


def test_strengths_decide_and_not_the_name_of_their_file(tmp_path):
    light = dataclasses.replace(_run(augmentation='light'), strengths=LIGHT)
    config.write(str(tmp_path), light)
    assert config.read(str(tmp_path)) == light
    assert config.check_continues(str(tmp_path), dataclasses.replace(_run(augmentation='a.json'), strengths=LIGHT))
    altered = dataclasses.replace(light, strengths=dataclasses.replace(LIGHT, hue=0.1))
    with pytest.raises(errors.UserError, match=r'another recipe: --augmentation: hue is 0\.05 there and 0\.1 here\.'):
        config.check_continues(str(tmp_path), altered)
    with pytest.raises(errors.UserError, match=r'--augmentation is light there and none here'):
        config.check_continues(str(tmp_path), _run(augmentation='none'))


def test_strengths_out_of_range_are_a_damaged_file(tmp_path):
    content = dataclasses.replace(_run(augmentation='light'), strengths=LIGHT).to_json()
    content['strengths']['rotation'] = 1000
    (tmp_path / 'config.json').write_text(json.dumps(content))
    with pytest.raises(errors.UserError, match=r'config\.json is damaged .*rotation is 1000'):
        config.read(str(tmp_path))


def test_a_directory_of_something_else_is_left_alone(tmp_path):
    (tmp_path / 'thesis.txt').write_text('')
    with pytest.raises(errors.UserError, match='holds no run'):
        config.check_continues(str(tmp_path), _run())
    with pytest.raises(errors.UserError, match='is a file'):
        config.check_continues(str(tmp_path / 'thesis.txt'), _run())


def test_data_of_another_size_or_other_classes_does_not_fit_the_model():
    run = _run()
    config.check_data_fits('RUN', run, 'DATA', dataclasses.replace(DATA, fingerprint='other'))
    with pytest.raises(errors.UserError, match='DATA holds images of 64x64 pixels, RUN was trained on 32x64'):
        config.check_data_fits('RUN', run, 'DATA', dataclasses.replace(DATA, image_size=(64, 64)))
    more = label_map.LabelMap.default(('background', 'shirt', 'hat'))
    with pytest.raises(
        errors.UserError, match="has 3 classes, RUN was trained on 2; class 2 is 'hat' there and absent"
    ):
        config.check_data_fits('RUN', run, 'DATA', dataclasses.replace(DATA, label_map=more))


def test_the_file_is_plain_json(tmp_path):
    config.write(str(tmp_path), _run())
    content = json.loads((tmp_path / 'config.json').read_text())
    assert content['recipe']['encoder'] == 'densenet121'
    assert content['data']['image_size'] == [32, 64]


def test_a_data_set_elsewhere_is_refused_in_one_line():
    with pytest.raises(errors.UserError, match=r'--data_dir=s3://b/x: the trainer reads data sets of this disk'):
        config.read_manifest('s3://b/x')


@pytest.mark.parametrize(
    ('name', 'value'),
    [
        *(
            (name, value)
            for name in (
                'learning_rate',
                'fine_tune_learning_rate',
                'clip_norm',
                'batch_norm_momentum',
                'momentum',
                'weight_decay',
                'encoder_learning_rate_scale',
            )
            for value in (math.nan, math.inf, -math.inf, -0.1)
        ),
        *((name, math.nan) for name in ('label_smoothing', 'focal_gamma', 'tversky_alpha', 'hard_pixel_share')),
        ('hard_pixel_share', 0),
        ('tversky_alpha', 1.5),
        ('batch_norm_momentum', 1.5),
        ('learning_rate', 1e7),
        ('seed', 2**32),
        ('seed', -1),
        *((name, 2**63) for name in ('batch_size', 'epochs', 'steps_per_epoch', 'cache_budget_mb')),
        *((name, 0) for name in ('batch_size', 'epochs')),
    ],
)
def test_a_number_of_a_recipe_out_of_its_range(name, value):
    with pytest.raises(errors.UserError, match=f'^--{name}={re.escape(str(value))}: wanted a number from '):
        config.Recipe(**{name: value})


@pytest.mark.parametrize(
    ('make', 'name', 'value'),
    [
        (options.RuntimeOptions, 'virtual_devices', 257),
        (options.RuntimeOptions, 'virtual_devices', -1),
        (options.RuntimeOptions, 'keep_checkpoints', 0),
        (options.RuntimeOptions, 'checkpoint_every_steps', 2**31),
        (options.EvaluationOptions, 'batch_size', 0),
        (options.PredictionOptions, 'batch_size', 2**31),
    ],
)
def test_a_number_of_an_option_out_of_its_range(make, name, value):
    with pytest.raises(errors.UserError, match=f'^--{name}={value}: wanted a number from '):
        make(**{name: value})


@pytest.mark.parametrize('path', ['s3://bucket/run', 'x://y', 'a' * 300])
def test_no_directory_of_this_disk(path):
    with pytest.raises(errors.UserError, match=f'^--output_dir={path}'):
        config.check_output_dir('output_dir', path)
