import errno
import io
import pathlib
import time

from beam_jobs import progress
from seg_pipeline import storage
from seg_pipeline.building import markers
from seg_pipeline.planning.plan_files import PlannedShard
from seg_pipeline.storage import attempts


def _shard(number, num_pairs):
    return PlannedShard(f's{number}', 'train', f'f{number}', num_pairs, file='', start=0, end=0).units[0]


def test_counts_the_markers_of_this_plan(tmp_path):
    plans = [_shard(n, num_pairs=5) for n in range(4)]

    def finish(name):
        path = pathlib.Path(markers.marker_path(str(tmp_path), name))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text('{}')
        return path

    finish('f0')
    finish('of another command')
    output = io.StringIO()
    with progress.ShardProgress(
        plans, lambda plan: markers.marker_path(str(tmp_path), plan.fingerprint), output=output
    ) as shown:
        assert output.getvalue() == 'continuing: 1 of 4 shards are already made\n'
        assert shown.place == '1/4 shards, 5/20 pairs'
        marker = finish('f1')
        shown._poll()
        marker.unlink()  # published
        shown._poll()
        assert shown.place == '2/4 shards, 10/20 pairs'


def test_counts_the_pairs_of_shards_that_are_being_made(tmp_path):
    plans = [_shard(n, num_pairs=5) for n in range(2)]
    output = io.StringIO()
    shown = progress.ShardProgress(
        plans, lambda plan: markers.marker_path(str(tmp_path), plan.fingerprint), output=output
    )
    assert shown.place == '0/2 shards, 0/10 pairs'
    with attempts.noted(str(tmp_path), 'f0', []) as first, attempts.noted(str(tmp_path), 'f0', []) as second:
        for key in '012':
            first(key)  # the third one is being made
        second('0')
        with attempts.noted(str(tmp_path), 'f1', []) as other, attempts.noted(str(tmp_path), 'g', []) as strange:
            other('a')
            other('b')
            strange('c')
            strange('d')
            shown._poll()
            assert shown.place == '0/2 shards, 3/10 pairs'
        pathlib.Path(markers.marker_path(str(tmp_path), 'f0')).write_text('{}')
        shown._poll()
        assert shown.place == '1/2 shards, 5/10 pairs'


def test_a_log_has_lines_with_the_speed_of_this_process(tmp_path, monkeypatch):
    plans = [_shard(n, num_pairs=5) for n in range(2)]
    (tmp_path / 'f0').write_text('{}')
    monkeypatch.setattr(progress, '_POLL_SECONDS', 0.01)
    monkeypatch.setattr(progress, '_LOG_SECONDS', 0.02)
    output = io.StringIO()
    with progress.ShardProgress(plans, lambda plan: str(tmp_path / plan.fingerprint), output=output):
        deadline = time.monotonic() + 20
        while output.getvalue().count('\n') < 3 and time.monotonic() < deadline:
            time.sleep(0.01)
    begun, *lines = output.getvalue().splitlines()
    assert begun == 'continuing: 1 of 2 shards are already made'
    assert lines[0] == '1/2 shards, 5/10 pairs  0.0 pairs/s  ? left'  # those found made are not its merit


def test_an_error_of_the_store_does_not_end_the_progress(tmp_path, monkeypatch, capsys):
    """The thread counts on: a store that refuses one listing answers the next one."""
    plans = [_shard(0, num_pairs=1)]
    path = pathlib.Path(markers.marker_path(str(tmp_path), 'f0'))
    existing, asked = storage.existing, []

    def refusing(paths):
        asked.append(paths)
        if len(asked) in (1, 3):
            raise OSError(errno.EIO, 'the store refuses', str(path))
        return existing(paths)

    monkeypatch.setattr(storage, 'existing', refusing)
    monkeypatch.setattr(progress, '_POLL_SECONDS', 0.01)
    with progress.ShardProgress(plans, lambda plan: str(path), output=io.StringIO()) as shown:
        deadline = time.monotonic() + 20
        while len(asked) < 4 and time.monotonic() < deadline:
            time.sleep(0.01)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text('{}')
        while shown.place.startswith('0/1') and time.monotonic() < deadline:
            time.sleep(0.01)
        assert shown.place == '1/1 shards, 1/1 pairs'
    assert 'Traceback' not in capsys.readouterr().err
