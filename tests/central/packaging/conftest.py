import pytest

from tests.tiny_checkpoint import tiny_package


@pytest.fixture(scope="session")
def packaged(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny")
    tiny_package(folder)
    return folder
