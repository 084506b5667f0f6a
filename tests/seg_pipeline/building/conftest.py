import pytest

from tests import fake_data
from tests.seg_pipeline.building import small_build


@pytest.fixture
def config(tmp_path):
    """The configuration of a data set of ten pairs."""
    fake_data.write_pairs(tmp_path / 'source', num_pairs=10)
    return small_build.make_config(tmp_path)
