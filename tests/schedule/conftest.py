import pytest


@pytest.fixture(scope="session", autouse=True)
def kernel_cache(tmp_path_factory):
    """One cache folder for all tests of the schedule, so that each kernel is compiled once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRAPHKERAS_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield
