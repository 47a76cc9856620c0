"""The names that `import graphkeras as keras` offers."""

import subprocess
import sys

import pytest

import graphkeras as keras


def test_every_public_name_is_there():
    for name in keras.__all__:
        assert getattr(keras, name) is not None, name
    assert set(keras.__all__) <= set(dir(keras))
    assert keras.version() == keras.__version__


def test_names_of_keras():
    assert keras.Input((3,)).shape == (None, 3) and issubclass(keras.Sequential, keras.Model)
    assert issubclass(keras.layers.Dense, keras.Layer) and keras.tree.flatten([1, [2]]) == [1, 2]
    with keras.name_scope("outer"):
        assert keras.Variable(1.0, name="v").path == "outer/v"
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        keras.nothing  # noqa: B018


def test_importing_layers_does_not_load_the_compiler():
    heavy = ("numba", "llvmlite", "networkx", "h5py")
    code = f"import sys; from graphkeras import layers, models; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
