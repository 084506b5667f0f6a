"""The curves: what is drawn is read back from the axes, the picture from its file."""

import cv2
import pytest
from matplotlib import figure as figure_lib

from seg_pipeline import errors
from trainer.report import curves
from trainer.training import history


@pytest.fixture(name='drawn')
def _drawn(monkeypatch):
    """The figures that were saved while the test ran."""
    saved, savefig = [], figure_lib.Figure.savefig
    monkeypatch.setattr(
        figure_lib.Figure, 'savefig', lambda self, *args, **kw: (saved.append(self), savefig(self, *args, **kw))
    )
    return saved


def write_history(directory, phases, *, validates=True):
    for epoch, phase in enumerate(phases, start=1):
        validation = (4.0 / epoch, epoch / 10, 0.1) if validates else (None, None, None)
        row = history.EpochRow(
            epoch, phase, 12 * epoch, 1e-3, 2.0 / epoch, epoch / 5, *validation, 20.0, 30.0, 0.1, None
        )
        history.append(str(directory), row)


def lines_of(axes):
    """Label to points, of every line of a chart."""
    return {line.get_label(): line.get_xydata().tolist() for line in axes.get_lines()}


def test_both_curves_and_the_start_of_fine_tuning_are_drawn(tmp_path, drawn):
    write_history(tmp_path, ['frozen', 'frozen', 'fine_tune'])
    path = curves.draw_curves(str(tmp_path))

    accuracy, loss = drawn[0].axes
    assert lines_of(accuracy) == {
        'training': [[1, 0.2], [2, 0.4], [3, 0.6]],
        'validation': [[1, 0.1], [2, 0.2], [3, 0.3]],
        'fine-tuning from epoch 3': [[2.5, 0], [2.5, 1]],
    }
    assert lines_of(loss)['training'] == [[1, 2], [2, 1], [3, pytest.approx(2 / 3, abs=1e-5)]]
    assert path == str(tmp_path / 'curves.png')
    assert cv2.imread(path).shape == (480, 1200, 3)


@pytest.mark.parametrize('phases', [['frozen'], ['fine_tune', 'fine_tune']])
def test_a_run_of_one_phase_has_nothing_to_mark(tmp_path, drawn, phases):
    write_history(tmp_path, phases)
    curves.draw_curves(str(tmp_path))

    assert set(lines_of(drawn[0].axes[0])) == {'training', 'validation'}


def test_a_run_without_validation_has_one_curve(tmp_path, drawn):
    write_history(tmp_path, ['frozen', 'frozen'], validates=False)
    curves.draw_curves(str(tmp_path))

    assert set(lines_of(drawn[0].axes[0])) == {'training'}


def test_a_run_without_history_says_so(tmp_path):
    with pytest.raises(errors.UserError, match=r'history\.csv does not exist'):
        curves.draw_curves(str(tmp_path))
