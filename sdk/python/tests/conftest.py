import sys
from pathlib import Path

import pytest

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "src")]


@pytest.fixture(scope="session")
def five(tmp_path_factory):
    """Five nodes that know each other, for the tests that leave them running."""
    from nodes import running

    with running(5, tmp_path_factory.mktemp("mesh")) as nodes:
        yield nodes


@pytest.fixture
def mesh(five):
    import meshwork

    with meshwork.connect(five[0].home) as mesh:
        yield mesh
