"""Each kind of bad input gets its reason and a message, and a data set is made of the rest."""

import json
import pathlib
import pickle
import subprocess
import sys

import cv2
import numpy as np
import pytest
from absl import flags
from absl.testing import flagsaver

from beam_jobs import prepare_dataset
from seg_pipeline import errors, records
from seg_pipeline.dataset import integrity, manifest
from seg_pipeline.imaging import images, masks, rejects
from seg_pipeline.planning import pairing
from tests import bad_inputs

_BAD, _GOOD = bad_inputs.bad(), bad_inputs.good()
_DATASET = 'out/clothing_parsing/32x32'
# Reasons that a bad file alone does not give: tested below, in pairing_test, masks_test, mask_conformance_test and
# split_flags_test.
_TESTED_ELSEWHERE = {
    rejects.NO_KEY,
    rejects.IN_NO_LIST,
    rejects.OUT_OF_MEMORY,
    rejects.DECODER_FAILED,
    rejects.AMBIGUOUS_BINARY,
    rejects.AMBIGUOUS_GREY,
}


def _id(kind):
    return errors.one_line(kind.name)


# One at a time.


@pytest.mark.parametrize('kind', _BAD, ids=_id)
def test_bad_input_has_its_reason(kind, tmp_path):
    bad_inputs.write([kind], tmp_path)
    passed, rejected = bad_inputs.check(tmp_path)
    assert passed == []
    assert [reject.reason for reject in rejected] == list(kind.reasons)
    message = rejected[0].message
    assert kind.says in message
    assert len(message.splitlines()) == 1
    assert '0x7' not in message, 'an address in memory is not stable'
    names = [pathlib.Path(path).name for path in (rejected[0].image, rejected[0].mask) if path]
    assert any(errors.one_line(name) in message for name in names)


@pytest.mark.parametrize('kind', _GOOD, ids=_id)
def test_unusual_input_that_is_accepted_keeps_its_pixels(kind, tmp_path):
    bad_inputs.write([kind], tmp_path)
    passed, rejected = bad_inputs.check(tmp_path)
    assert rejected == []
    (pair,) = passed
    mask = masks.read(str(tmp_path / 'masks' / pair.mask), masks.MaskReader(bad_inputs.LABELS))
    np.testing.assert_array_equal(mask, bad_inputs.ids())
    image = images.read_image(str(tmp_path / 'images' / pair.image))
    assert np.abs(image.astype(int) - bad_inputs.gradient()).max() <= 30  # JPEG; the wrong channel order is 150 off


def test_each_reason_has_a_kind_of_input():
    assert len(_BAD) >= 40
    assert len({kind.name for kind in (*_BAD, *_GOOD)}) == len(_BAD) + len(_GOOD)
    assert {reason for kind in _BAD for reason in kind.reasons} | _TESTED_ELSEWHERE == set(rejects.EXPLANATIONS)


def test_the_bomb_is_a_valid_png_of_a_megabyte():
    assert 500_000 < len(bad_inputs.bomb()) < 1_500_000
    with pytest.raises(rejects.RejectError, match='30000x30000 is 900000000 pixels, more than --max_pixels=100000000'):
        images.decode_image(bad_inputs.bomb(), 'bomb.png')


# A decoder that raises an unexpected error.


def _opencv_error(code, what):
    error = cv2.error(f'OpenCV: error: ({code}) {what}')
    error.code, error.err = code, what
    return error


@pytest.mark.parametrize(
    ('error', 'reason'),
    [
        (MemoryError(), rejects.OUT_OF_MEMORY),
        (MemoryError('wanted 7 GiB'), rejects.OUT_OF_MEMORY),
        (_opencv_error(-4, 'Failed to allocate 7 bytes'), rejects.OUT_OF_MEMORY),
        (_opencv_error(-215, 'some check'), rejects.DECODER_FAILED),
        (cv2.error('OpenCV: some check (-215)'), rejects.DECODER_FAILED),
        (ZeroDivisionError('division by zero'), rejects.DECODER_FAILED),
        (RecursionError('too deep'), rejects.DECODER_FAILED),
    ],
)
def test_every_error_of_a_decoder_is_a_reject(error, reason, tmp_path, monkeypatch):
    bad_inputs.write(_GOOD[:1], tmp_path)

    def fail(*_):
        raise error

    monkeypatch.setattr(cv2, 'imdecode', fail)
    passed, (reject,) = bad_inputs.check(tmp_path)
    assert passed == []
    assert reject.reason == reason
    assert 'plain.png' in reject.message
    if reason == rejects.OUT_OF_MEMORY:  # what it needed, and what to do
        assert str(error) in reject.message
        assert 'not enough memory to decode it' in reject.message
        assert 'run fewer workers' in reject.message


@pytest.mark.parametrize('kind', [errors.UserError, errors.OutsideError])
def test_an_error_is_one_line(kind):
    error = kind('--loss=a\nb\x1b: caf\udce9\u2028is unknown')
    assert str(error) == str(pickle.loads(pickle.dumps(error))) == '--loss=a b\\x1b: caf\\udce9 is unknown'


def test_an_interrupt_is_not_a_reject():
    with pytest.raises(KeyboardInterrupt), rejects.decoding('x'):
        raise KeyboardInterrupt


# Messages.


@pytest.mark.parametrize(
    ('text', 'expected'),
    [
        ('plain, é, 🧥 and \u3000 stay', 'plain, é, 🧥 and \u3000 stay'),
        ('a\nb\r\tc\x1b[0m', 'a\\nb\\r\\tc\\x1b[0m'),
        ('a\u2028b\x85c', 'a\\u2028b\\x85c'),
        ('caf\udce9', 'caf\\udce9'),
    ],
)
def test_one_line(text, expected):
    assert errors.one_line(text) == expected
    assert rejects.Reject('key', rejects.DAMAGED, text).message == expected
    assert str(rejects.RejectError(rejects.DAMAGED, text)) == expected
    assert len(expected.splitlines()) == 1
    expected.encode()


def test_unknown_reasons_are_refused():
    with pytest.raises(ValueError, match="'odd' is not a reason code"):
        rejects.Reject('key', 'odd', '')


# All at once, through the job.


@pytest.fixture(scope='module')
def everything(tmp_path_factory):
    root = tmp_path_factory.mktemp('everything of jane')
    bad_inputs.write([*_BAD, *_GOOD], root)
    return root


def _arguments(root, *more):
    return [
        f'--images={root}/images',
        f'--masks={root}/masks',
        f'--labels={root}/labels.csv',
        f'--output_dir={root}/out',
        '--image_size=32,32',
        r'--image_key_regex=(?s)^(.*)\.',
        r'--mask_key_regex=(?s)^(.*)\.',
        f'--max_pixels={bad_inputs.MAX_PIXELS}',
        '--num_shards=train:6,validation:2',
        *more,
    ]


def _main(root, *more):
    """The command in this process."""
    with flagsaver.flagsaver():
        arguments = _arguments(root, '--direct_num_workers=1', '--direct_running_mode=in_memory', *more)
        return prepare_dataset.main(flags.FLAGS(['prepare_dataset', *arguments], known_only=True))


def _expected():
    return sorted(reason for kind in _BAD for reason in kind.reasons)


def _found(text):
    """The reasons in what the command printed, and in how many lines."""
    lines = [line for line in text.splitlines() if line.startswith('rejected ')]
    return sorted(line.split()[1].rstrip(':') for line in lines)


def test_fail_lists_all_of_them_and_publishes_nothing(everything, capfd):
    with pytest.raises(errors.UserError, match=f'^{len(_expected())} rejected, listed above; nothing was published'):
        _main(everything)
    assert _found(capfd.readouterr().err) == _expected()
    assert not (everything / _DATASET / '1.0.0').exists()


def test_a_dry_run_reports_the_same_and_writes_no_data_set(everything, capfd):
    with pytest.raises(errors.UserError, match=f'^{len(_expected())} rejected, listed above and in .*rejected.jsonl'):
        _main(everything, '--dry_run', '--output_dir=' + str(everything / 'dry'))
    captured = capfd.readouterr()
    assert _found(captured.err) == _expected()
    directory = pathlib.Path(captured.out.splitlines()[-1])
    files = sorted(
        str(path.relative_to(everything / 'dry')) for path in (everything / 'dry').rglob('*') if path.is_file()
    )
    place = 'clothing_parsing/32x32/dry_run'
    assert files == [f'{place}/rejected.jsonl', f'{place}/report/index.html', f'{place}/statistics.json']
    assert len((directory / 'rejected.jsonl').read_text().splitlines()) == len(_expected())
    figures = json.loads((directory / 'statistics.json').read_text())
    assert sum(split['num_records'] for split in figures.values()) == len(_GOOD)
    with pytest.raises(errors.UserError, match='no data set'):
        manifest.read(str(directory))


@pytest.fixture(scope='module')
def published(everything):
    """What the command said that published the good pairs of all."""
    arguments = _arguments(everything, '--on_error=reject', '--direct_num_workers=2')
    command = [sys.executable, '-m', 'beam_jobs.prepare_dataset', *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done


def test_no_published_file_says_where_the_sources_are(everything, published):
    dataset_dir = pathlib.Path(published.stdout.splitlines()[-1])
    files = {path: path.read_bytes() for path in dataset_dir.rglob('*') if path.is_file()}
    assert len(files) > 8
    at = [str(path.relative_to(dataset_dir)) for path, data in files.items() if everything.name.encode() in data]
    assert at == [manifest.PROVENANCE_FILE]
    card = (dataset_dir / manifest.CARD_FILE).read_text()
    assert '--images=.../images' in card
    assert '--labels=.../labels.csv' in card


def test_nor_does_the_report_of_a_dry_run(everything):
    with pytest.raises(errors.UserError, match='rejected'):
        _main(everything, '--dry_run')
    report = everything / _DATASET / 'dry_run'
    texts = [path.read_bytes() for path in report.rglob('*') if path.is_file()]
    assert len(texts) == 3
    assert not any(everything.name.encode() in text for text in texts)


def test_reject_publishes_the_rest_and_no_worker_fails(everything, published):
    done = published
    dataset_dir = done.stdout.splitlines()[-1]
    assert dataset_dir == str(everything / _DATASET / '1.0.0')
    assert list(integrity.problems(dataset_dir)) == []
    built = manifest.read(dataset_dir)
    names = [
        record.file_name
        for split in built.split_names
        for path in built.shard_paths(dataset_dir, split)
        for record in records.read(path)
    ]
    files = pairing.list_files(str(everything / 'images'))
    assert len(names) == len(_GOOD)
    assert set(names) <= set(files)
    assert {'line\nbreak.png', '名前 🧥.png', '-rf *.png'} <= set(names)
    lines = (pathlib.Path(dataset_dir) / manifest.REJECTED_FILE).read_text(encoding='utf-8').split('\n')
    rejected = [json.loads(line) for line in lines if line]
    assert sorted(line['reason'] for line in rejected) == _found(done.stderr) == _expected()


def test_a_dry_run_of_good_pairs(tmp_path, capsys):
    bad_inputs.write(_GOOD[:6], tmp_path)
    _main(tmp_path, '--dry_run', '--allow_empty_splits')
    output = capsys.readouterr().out.splitlines()
    assert output[-2] == 'dry run: 6 in train, 0 rejected; no data set was made'  # copies of one image
    assert output[-1] == str(tmp_path / _DATASET / 'dry_run')
    assert not (tmp_path / _DATASET / '.dry_run').exists()


def test_the_table_of_all_kinds_is_up_to_date():
    table = (pathlib.Path(__file__).parents[3] / 'docs' / 'reject_corpus.md').read_text(encoding='utf-8')
    assert table == bad_inputs.table(), 'python -m tests.bad_inputs writes it anew'


def test_a_long_list_is_summed_up_by_reason_the_most_frequent_last():
    found = [rejects.Reject(str(n), rejects.UNKNOWN_ID, f'{n}.png: id 11', value=11) for n in range(700)]
    found.insert(3, rejects.Reject('x', rejects.EMPTY_FILE, 'x.png: has no bytes'))
    assert rejects.summary(found) == [
        '1 of 701: empty_file: The file has no bytes',
        '700 of 701: unknown_id: The mask holds id 11 that the label table does not have; add it to the label table; '
        'or, if it means no class, give it as --ignore_id=11, or map it with --remap',
    ]


def test_the_id_that_is_wrong_travels_as_a_number(tmp_path):
    kinds = [kind for kind in _BAD if rejects.UNKNOWN_ID in kind.reasons]
    values = set()
    for kind in kinds:
        bad_inputs.write([kind], tmp_path / str(len(values)) / kind.name.replace('/', ' '))
        _, found = bad_inputs.check(tmp_path / str(len(values)) / kind.name.replace('/', ' '))
        assert f' {found[0].value} ' in found[0].message.replace(';', ' ')
        values.add(found[0].value)
    assert None not in values
    other = rejects.Reject('a', rejects.EMPTY_FILE, 'a: empty')
    assert 'value' not in json.loads(other.to_json())
    assert json.loads(rejects.Reject('a', rejects.UNKNOWN_ID, 'a', value=3).to_json())['value'] == 3
    sent = pickle.loads(pickle.dumps(rejects.RejectError(rejects.UNKNOWN_ID, 'a.png: id 3', 3)))
    assert sent.of('k', 'i', 'm') == rejects.Reject('k', rejects.UNKNOWN_ID, 'a.png: id 3', 'i', 'm', 3)


@pytest.mark.parametrize('reason', rejects.REMEDIES)
def test_a_remedy_names_flags_that_there_are(reason):
    assert reason in rejects.EXPLANATIONS
    beam = {'--direct_num_workers'}
    for word in rejects.REMEDIES[reason].replace(',', ' ').replace('=', ' ').split():
        assert not word.startswith('--') or word in beam or word[2:] in flags.FLAGS
