import pytest

from seg_pipeline.imaging import rejects, trial
from tests import deadly_bmp


@pytest.fixture(autouse=True)
def _deadly(tmp_path, monkeypatch):
    for name, value in deadly_bmp.environment(tmp_path).items():
        monkeypatch.setenv(name, value)


def _check(image, mask, **options):
    trial.check(image, mask, 'image a.bmp', 'mask b.png', **options)


@pytest.mark.parametrize('data', [deadly_bmp.bmp(16), b'', b'not a picture', deadly_bmp.bmp(16)[:50]])
def test_whatever_ends_in_an_orderly_way_passes(data):
    _check(data, deadly_bmp.png())
    _check(deadly_bmp.png(), data)


@pytest.mark.parametrize('files', [(deadly_bmp.bmp(), deadly_bmp.png()), (deadly_bmp.png(), deadly_bmp.bmp())])
def test_a_crash_is_a_reject_that_names_both_files(files):
    with pytest.raises(
        rejects.RejectError, match=r'image a\.bmp, mask b\.png: .* ends the process, by SIGSEGV'
    ) as caught:
        _check(*files)
    assert caught.value.reason == rejects.DECODER_FAILED


def test_a_decoder_that_does_not_end_is_a_reject():
    with pytest.raises(rejects.RejectError, match=r'more than 3 seconds') as caught:
        _check(deadly_bmp.bmp(17), deadly_bmp.png(), time_limit=3)
    assert caught.value.reason == rejects.DECODER_FAILED


def test_a_process_that_cannot_start_says_nothing_about_the_files(tmp_path, monkeypatch):
    broken = tmp_path / 'broken'
    (broken / 'seg_pipeline').mkdir(parents=True)
    (broken / 'seg_pipeline' / '__init__.py').write_text('raise SystemExit("not here")')
    monkeypatch.setenv('PYTHONPATH', str(broken))
    monkeypatch.chdir(broken)
    with pytest.raises(RuntimeError, match='cannot be started'):
        _check(deadly_bmp.png(), deadly_bmp.png())
