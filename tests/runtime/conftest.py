import pytest

from graphkeras.runtime import team


@pytest.fixture(scope="session", autouse=True)
def kernel_cache(tmp_path_factory):
    """One cache folder for all tests of the runtime, so that each kernel is compiled once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRAPHKERAS_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(params=[1, 2, 3, 8])
def threads(request):
    team.set_num_threads(request.param)
    yield request.param
    team.set_num_threads(None)


@pytest.fixture
def two_threads():
    team.set_num_threads(2)
    yield
    team.set_num_threads(None)
