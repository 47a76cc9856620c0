"""The shipped sample and the way to the whole set; no test here reaches the network."""

import hashlib
import io
import urllib.error

import numpy as np
import pytest

from graphkeras.datasets import mnist
from graphkeras.ir.errors import DataError


def whole_set(n_train=6, n_test=4):
    rng = np.random.default_rng(0)
    return {
        "x_train": rng.integers(0, 256, (n_train, 28, 28)).astype("uint8"),
        "y_train": rng.integers(0, 10, n_train).astype("uint8"),
        "x_test": rng.integers(0, 256, (n_test, 28, 28)).astype("uint8"),
        "y_test": rng.integers(0, 10, n_test).astype("uint8"),
    }


def npz_bytes(arrays):
    stream = io.BytesIO()
    np.savez_compressed(stream, **arrays)
    return stream.getvalue()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    return tmp_path / "datasets"


@pytest.fixture
def no_network(monkeypatch):
    def refuse(*args, **kwargs):
        raise urllib.error.URLError("no route to host")

    monkeypatch.setattr("urllib.request.urlopen", refuse)


def serve(monkeypatch, content):
    calls = []

    def answer(url, timeout):
        calls.append(url)
        return io.BytesIO(content)

    monkeypatch.setattr("urllib.request.urlopen", answer)
    return calls


def test_errors_are_also_the_builtin_kinds():
    assert issubclass(mnist.DownloadError, ConnectionError) and issubclass(DataError, ValueError)


def assert_four_parts(message):
    assert [line.split(":")[0].strip() for line in message.splitlines()[1:]] == ["got", "expected", "where", "mend"]


def test_sample_has_the_stated_shapes_and_real_digits():
    (x_train, y_train), (x_test, y_test) = mnist.load_sample()
    assert x_train.shape == (8000, 28, 28) and x_test.shape == (2000, 28, 28)
    assert y_train.shape == (8000,) and y_test.shape == (2000,)
    assert {a.dtype for a in (x_train, y_train, x_test, y_test)} == {np.dtype("uint8")}
    assert x_train.min() == 0 and x_train.max() == 255
    assert np.bincount(y_train, minlength=10).min() > 600 and y_train.max() == 9
    # Digits of one class look alike: the nearest class mean already names most test digits.
    means = np.stack([x_train[y_train == digit].mean(0) for digit in range(10)]).reshape(10, -1)
    distance = ((x_test.reshape(-1, 1, 784).astype("float32") - means.astype("float32")) ** 2).sum(-1)
    assert (distance.argmin(1) == y_test).mean() > 0.75


def test_sample_arrays_are_the_callers_own():
    first = mnist.load_sample()[0][0]
    first[:] = 7
    assert mnist.load_sample()[0][0].max() == 255


def test_sample_uses_no_network(no_network):
    assert len(mnist.load_sample()[1][1]) == 2000


def test_load_data_reads_the_keras_cache_folder(folder, no_network):
    folder.mkdir()
    arrays = whole_set()
    np.savez(folder / "mnist.npz", **arrays)
    (x_train, y_train), (x_test, y_test) = mnist.load_data()
    for name, got in zip(mnist.NAMES, (x_train, y_train, x_test, y_test)):
        np.testing.assert_array_equal(got, arrays[name])


def test_load_data_takes_an_absolute_path(tmp_path, folder, no_network):
    np.savez(tmp_path / "mine.npz", **whole_set(n_train=3))
    assert mnist.load_data(str(tmp_path / "mine.npz"))[0][0].shape == (3, 28, 28)


def test_without_file_and_network_the_error_names_the_way_out(folder, no_network):
    with pytest.raises(mnist.DownloadError) as caught:
        mnist.load_data()
    message = str(caught.value)
    assert_four_parts(message)
    assert "load_sample()" in message and str(folder / "mnist.npz") in message and "no route to host" in message
    assert list(folder.iterdir()) == []


def test_download_is_checked_kept_and_not_repeated(folder, monkeypatch):
    content = npz_bytes(whole_set())
    calls = serve(monkeypatch, content)
    monkeypatch.setattr(mnist, "SHA256", hashlib.sha256(content).hexdigest())
    first = mnist.load_data()
    second = mnist.load_data()
    assert calls == [mnist.ORIGIN]
    np.testing.assert_array_equal(first[0][0], second[0][0])
    assert [path.name for path in folder.iterdir()] == ["mnist.npz"]


def test_a_download_with_another_hash_is_refused_and_leaves_nothing(folder, monkeypatch):
    serve(monkeypatch, npz_bytes(whole_set()))
    with pytest.raises(DataError, match="SHA-256") as caught:
        mnist.load_data()
    assert_four_parts(str(caught.value))
    assert list(folder.iterdir()) == []


def test_a_failed_write_leaves_no_part_file(folder, monkeypatch):
    content = npz_bytes(whole_set())
    serve(monkeypatch, content)
    monkeypatch.setattr(mnist, "SHA256", hashlib.sha256(content).hexdigest())

    def full_disk(source, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full_disk)
    with pytest.raises(mnist.DownloadError, match="No space left"):
        mnist.load_data()
    assert list(folder.iterdir()) == []


def damage_cut(content):
    return content[: len(content) // 2]


def damage_bytes(content):
    return content[:200] + bytes(64) + content[264:]


@pytest.mark.parametrize(
    "spoil",
    [damage_cut, damage_bytes, lambda content: b"", lambda content: b"not an archive at all"],
    ids=["cut", "overwritten", "empty", "text"],
)
def test_a_damaged_file_is_named_with_a_way_out(folder, no_network, spoil):
    folder.mkdir()
    (folder / "mnist.npz").write_bytes(spoil(npz_bytes(whole_set())))
    with pytest.raises(DataError) as caught:
        mnist.load_data()
    assert_four_parts(str(caught.value))
    assert str(folder / "mnist.npz") in str(caught.value)


@pytest.mark.parametrize(
    "change",
    [
        {"x_train": np.zeros((6, 28, 27), "uint8")},
        {"y_test": np.zeros((3,), "uint8")},
        {"x_test": np.zeros((4, 28, 28), "float32")},
        {"y_train": np.array([None] * 6, dtype=object)},
    ],
    ids=["shape", "length", "dtype", "pickle"],
)
def test_a_file_with_other_contents_is_refused(folder, no_network, change):
    folder.mkdir()
    np.savez(folder / "mnist.npz", **(whole_set() | change))
    with pytest.raises(DataError, match="cannot be used") as caught:
        mnist.load_data()
    assert_four_parts(str(caught.value))


def test_a_file_without_the_labels_is_refused(folder, no_network):
    folder.mkdir()
    np.savez(folder / "mnist.npz", x_train=whole_set()["x_train"])
    with pytest.raises(DataError, match="y_train"):
        mnist.load_data()
