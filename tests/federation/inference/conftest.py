import pytest

from central.releases.recipe import EXPORTERS
from tests.tiny_checkpoint import tiny_package


@pytest.fixture(scope="session", params=EXPORTERS)
def packaged(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny")
    tiny_package(folder, exporter=request.param)
    return folder
