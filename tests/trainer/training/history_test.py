"""RUN/history.csv, also when epochs are done again."""

import csv

from trainer.training import history


def _row(epoch, loss=1.0, val_loss=0.5):
    return history.EpochRow(epoch, 'frozen', epoch * 3, 1e-3, loss, 0.25, val_loss, 0.5, 0.125, 10.0, 2.0, 0.01, 0.25)


def _read(directory):
    with open(directory / 'history.csv', newline='') as file:
        return list(csv.DictReader(file))


def test_columns_are_those_of_the_contract(tmp_path):
    history.append(str(tmp_path), _row(1))
    assert (tmp_path / 'history.csv').read_text().splitlines() == [
        'epoch,phase,step,learning_rate,loss,accuracy,val_loss,val_accuracy,val_mean_iou,'
        'images_per_second,seconds,input_wait_share,val_mean_iou_present',
        '1,frozen,3,0.001,1,0.25,0.5,0.5,0.125,10,2,0.01,0.25',
    ]


def test_an_epoch_that_is_done_again_replaces_its_row_and_all_later_ones(tmp_path):
    for epoch in (1, 2, 3):
        history.append(str(tmp_path), _row(epoch))
    history.append(str(tmp_path), _row(2, loss=7.0))
    assert [(row['epoch'], row['loss']) for row in _read(tmp_path)] == [('1', '1'), ('2', '7')]


def test_without_validation_its_columns_are_empty(tmp_path):
    history.append(str(tmp_path), _row(1, val_loss=None))
    assert _read(tmp_path)[0]['val_loss'] == ''
