import errno
import io
import pathlib
import time

from beam_jobs import progress
from seg_pipeline import storage
from seg_pipeline.building import markers
from seg_pipeline.planning import sharding
from seg_pipeline.planning.pairing import SourcePair


def test_counts_the_markers_of_this_plan(tmp_path):
    plans = [
        sharding.ShardPlan(
            f's{n}', 'train', tuple(SourcePair(f'{n}{k}', '', '') for k in range(5)), fingerprint=f'f{n}'
        )
        for n in range(4)
    ]

    def finish(name):
        path = pathlib.Path(markers.marker_path(str(tmp_path), name))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text('{}')
        return path

    finish('f0')
    finish('of another command')
    output = io.StringIO()
    with progress.Progress(
        plans, lambda plan: markers.marker_path(str(tmp_path), plan.fingerprint), output=output
    ) as shown:
        assert output.getvalue() == 'continuing: 1 of 4 shards are already made\n'
        assert shown.line(2.0) == '1/4 shards, 5/20 pairs, 0.0 pairs/s, none finished yet'
        marker = finish('f1')
        shown._poll()
        marker.unlink()  # published
        shown._poll()
        # 5 pairs in 2 seconds are this run's; the 5 found made are not its merit.
        assert shown.line(2.0) == '2/4 shards, 10/20 pairs, 2.5 pairs/s, 4 s left'


def test_an_error_of_the_store_does_not_end_the_progress(tmp_path, monkeypatch, capsys):
    """The thread counts on: a store that refuses one listing answers the next one."""
    plans = [sharding.ShardPlan('s0', 'train', (SourcePair('a', '', ''),), fingerprint='f0')]
    path = pathlib.Path(markers.marker_path(str(tmp_path), 'f0'))
    existing, asked = storage.existing, []

    def refusing(paths):
        asked.append(paths)
        if len(asked) in (1, 3):
            raise OSError(errno.EIO, 'the store refuses', str(path))
        return existing(paths)

    monkeypatch.setattr(storage, 'existing', refusing)
    monkeypatch.setattr(progress, '_POLL_SECONDS', 0.01)
    with progress.Progress(plans, lambda plan: str(path), output=io.StringIO()) as shown:
        deadline = time.monotonic() + 20
        while len(asked) < 4 and time.monotonic() < deadline:
            time.sleep(0.01)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text('{}')
        while shown.line(1.0).startswith('0/1') and time.monotonic() < deadline:
            time.sleep(0.01)
        assert shown.line(1.0).startswith('1/1 shards, 1/1 pairs')
    assert 'Traceback' not in capsys.readouterr().err
