"""`install_as_keras`: afterwards `import keras` and `from keras import layers` mean this package."""

import importlib
import importlib.abc
import importlib.util
import sys

_NAME, _OWN = "keras", "graphkeras"


class _Loader(importlib.abc.Loader):
    """Hands out a module of this package under its second name; it stays one object."""

    def create_module(self, spec):
        module = importlib.import_module(_OWN + spec.name[len(_NAME) :])
        self._own_spec = module.__spec__
        return module

    def exec_module(self, module):
        module.__spec__ = self._own_spec  # the import system has just put the second name there


class _Finder(importlib.abc.MetaPathFinder):
    """Finds `keras.x` where there is a `graphkeras.x`."""

    def find_spec(self, fullname, path=None, target=None):
        if fullname != _NAME and not fullname.startswith(_NAME + "."):
            return None
        try:
            own = importlib.util.find_spec(_OWN + fullname[len(_NAME) :])
        except ModuleNotFoundError:
            own = None
        if own is None:
            return None
        return importlib.util.spec_from_loader(fullname, _Loader(), is_package=own.submodule_search_locations is not None)


def install_as_keras() -> None:
    """Lets this package answer to the name `keras` in this process.

    Code written for Keras, one's own or a library's, then runs on graphkeras without a change: `import keras`, `from keras import
    layers`, `from keras.layers import Dense`. Call it before anything imports the real Keras.

    Raises:
        ImportError: where the real Keras has been imported already.

    Example:

    >>> import graphkeras
    >>> graphkeras.install_as_keras()  # doctest: +SKIP
    >>> from keras import layers  # doctest: +SKIP
    """
    package = importlib.import_module(_OWN)
    loaded = sys.modules.get(_NAME)
    if loaded is package:
        return
    if loaded is not None:
        raise ImportError(
            "The name keras is taken: the real Keras has been imported already.\n"
            f"  got:      {loaded!r}\n"
            "  expected: no module of that name in sys.modules\n"
            "  mend:     call graphkeras.install_as_keras() before the first import of keras, or of a library that imports it",
            name=_NAME,
        )
    sys.meta_path.insert(0, _Finder())
    sys.modules[_NAME] = package
