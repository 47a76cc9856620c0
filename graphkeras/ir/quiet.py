"""NumPy without its floating-point warnings: overflow and NaN show in the results."""

from functools import wraps

import numpy as np

try:  # np.errstate spends more time than NumPy itself does on a small array; these are what it is made of
    from numpy._core.umath import _extobj_contextvar as _state
    from numpy._core.umath import _make_extobj

    _IGNORE = _make_extobj(all="ignore")
except (ImportError, TypeError):
    _state = None


def quiet(function):
    """Decorator: the function runs as inside `np.errstate(all="ignore")`."""
    if _state is None:
        return np.errstate(all="ignore")(function)

    @wraps(function)
    def inner(*args, **kwargs):
        token = _state.set(_IGNORE)
        try:
            return function(*args, **kwargs)
        finally:
            _state.reset(token)

    return inner
