"""Every flag of every command against `hostile_flags.VALUES`: accepted where that means something, else one line.

What is accepted is listed here; a value that is not is refused with exit code 2 and one line that names the flag or
the value, before anything is computed or written.
"""

import json
import subprocess
import sys

import pytest

from tests.hostile_flags import COMMANDS, VALUES

# What no flag takes; and names that a file system or a store refuses.
_NO_TEXT = {'empty', 'blank', 'control', 'escape', 'tab', 'newline', 'long', 'surrogate'}
_NO_NAME = {'long name', 'thousands of digits', 'scheme', 'no bucket', 'no host'}
# Whatever else there is can be the name of a new directory.
_NEW = set(VALUES) - _NO_TEXT - _NO_NAME - {'file', 'directory', 'empty directory'}
_SWITCH = {'zero', 'true'}
_COUNT, _POSITIVE = {'zero', 'two digits'}, {'two digits'}

ACCEPTED = {
    'prepare_dataset': {
        'output_dir': _NEW | {'directory', 'empty directory'},
        'dataset_name': {'nan', 'inf', 'true', 'reserved'},
        'ignore_id': _POSITIVE,
        'near_duplicate_distance': _COUNT,
        'seed': {'zero', 'minus one', 'two digits', '2**31', '2**32'},
        'max_pixels': _POSITIVE,
        'allow_empty_splits': _SWITCH,
        'dry_run': _SWITCH,
        'paranoid': _SWITCH,
        'clean': _SWITCH,
    },
    'verify': {
        'fingerprint': {'2**63', '2**70'},  # hexadecimal digits; those of another data set, which is an answer
        'repair': _SWITCH,
        'images': {'directory', 'empty directory'},
        'masks': {'directory', 'empty directory'},
    },
    'synthetic': {
        'output_dir': _NEW | {'empty directory'},
        'pairs': _POSITIVE,
        'seed': {'zero', 'two digits', '2**31', '2**32'},
    },
    'train': {
        'model_dir': _NEW | {'empty directory'},
        'input_scale': {'half', 'two digits'},
        'batch_size': _POSITIVE,
        'frozen_epochs': _COUNT,
        'steps_per_epoch': _COUNT,
        'seed': {'zero', 'two digits', '2**31'},
        'learning_rate': {'zero', 'half', 'two digits'},
        'fine_tune_learning_rate': {'zero', 'half', 'two digits'},
        'label_smoothing': {'zero', 'half'},
        'focal_gamma': {'zero', 'half', 'two digits'},
        'tversky_alpha': {'zero', 'half'},
        'hard_pixel_share': {'half'},
        'repeat_factor_threshold': {'zero', 'half'},
        'ema_decay': {'zero', 'half'},
        'early_stopping_epochs': _COUNT,
        'warmup_steps': _COUNT,
        'momentum': {'zero', 'half'},
        'weight_decay': {'zero', 'half', 'two digits'},
        'encoder_learning_rate_scale': {'zero', 'half', 'two digits'},
        'clip_norm': {'zero', 'half', 'two digits', '2**31', '2**32'},
        'batch_norm_momentum': {'zero', 'half'},
        'cache_budget_mb': _COUNT,
        'virtual_devices': _COUNT,
        'checkpoint_every_steps': _COUNT,
        'keep_checkpoints': _POSITIVE,
        'deterministic': _SWITCH,
        'steps_per_call': _POSITIVE,
        'join_timeout': _POSITIVE,
        'jit_compile': _SWITCH,
        'dry_run': _SWITCH,
    },
    'evaluate': {'batch_size': _POSITIVE, 'virtual_devices': _COUNT},
    'predict': {
        'output_dir': _NEW | {'directory', 'empty directory'},
        'batch_size': _POSITIVE,
    },
    'show_augmentation': {
        'output_dir': _NEW | {'directory', 'empty directory'},
        'pairs': {'two digits'},
        'seed': {'zero', 'two digits', '2**31'},
    },
    'export': {'output_dir': _NEW},
}


def _names(line, case):
    shown = case['text'][:100]
    return (
        f'--{case["flag"]}' in line
        if case['flag'] and not shown.strip()
        else f'--{case["flag"]}' in line or shown in line
    )


@pytest.mark.parametrize('name', COMMANDS)
def test_each_hostile_value_is_meant_or_refused_before_the_work(name, tmp_path):
    command = [sys.executable, '-m', 'tests.hostile_flags', name, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    cases = json.loads(done.stdout.splitlines()[-1])
    assert len({case['flag'] for case in cases}) * len(VALUES) == len(cases)
    accepted, wrong = {}, []
    for case in cases:
        lines = case['error'].splitlines()
        if case['code'] in (None, 0) or (case['code'] == 1 and not lines):  # verify's answer, on stdout
            accepted.setdefault(case['flag'], set()).add(case['value'])
            continue
        good = case['code'] == 2 and len(lines) == 1 and lines[0].startswith('error: ') and not case['left']
        if not good or not _names(lines[0], case) or not lines[0].isprintable():
            wrong.append((case['flag'], case['value'], case['code'], case['error'][:200], case['left']))
    assert wrong == []
    assert accepted == ACCEPTED[name]
