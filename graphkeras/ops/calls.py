"""Public functions called on symbolic tensors outside a trace, as when functional models are built.

Each such call becomes one operation of the model, with the name that Keras gives it, whatever primitives it is made of. The front
end says how by `set_recorder`; without it the primitives become nodes. Inside traces and on eager tensors nothing changes.
"""

import functools
from collections.abc import Callable

from graphkeras.ir.dims import Dim
from graphkeras.trace import SymbolicTensor, current_scope, tree
from graphkeras.trace.naming import to_snake_case

# Keras's class names that are not the function's name in camel case.
_CLASS_NAMES = {
    "abs": "Absolute", "allclose": "AllClose", "batch_normalization": "BatchNorm", "cdist": "CDist", "conj": "Conjugate",
    "ctc_decode": "CTCDecode", "ctc_loss": "CTCLoss", "fft": "FFT", "fft2": "FFT2", "hsv_to_rgb": "HSVToRGB", "ifft2": "IFFT2",
    "irfft": "IRFFT", "isin": "IsIn", "istft": "ISTFT", "layer_normalization": "LayerNorm", "psnr": "PSNR", "rfft": "RFFT",
    "rgb_to_grayscale": "RGBToGrayscale", "rgb_to_hsv": "RGBToHSV", "rms_normalization": "RMSNorm", "searchsorted": "SearchSorted",
    "ssim": "SSIM", "stft": "STFT", "svd": "SVD",
}  # fmt: skip
_FUNCTION_NAMES = {class_name: name for name, class_name in _CLASS_NAMES.items()}
# What takes functions keeps its sub-graphs; what tells about a tensor makes none.
UNRECORDED = frozenset({
    "associative_scan", "cond", "convert_to_numpy", "convert_to_tensor", "custom_gradient", "dtype", "fori_loop", "is_tensor", "jvp",
    "map", "ndim", "scan", "shape", "size", "switch", "vectorize", "vectorized_map", "while_loop",
})  # fmt: skip
_MAY_HOLD = frozenset({SymbolicTensor, list, tuple, dict})
_recorders: list[Callable] = []


def set_recorder(recorder: Callable) -> None:
    """`recorder(function, class_name, args, kwargs)` makes one operation of a call and returns its outputs."""
    _recorders[:] = [recorder]


def class_name_of(name: str) -> str:
    """The name of Keras's class for a function.

    >>> class_name_of("log_softmax"), class_name_of("rfft")
    ('LogSoftmax', 'RFFT')
    """
    return _CLASS_NAMES.get(name) or "".join(part.capitalize() for part in name.split("_"))


def function_name_of(class_name: str) -> str:
    """The function that a class of Keras stands for.

    >>> function_name_of("LogSoftmax"), function_name_of("BatchNorm")
    ('log_softmax', 'batch_normalization')
    """
    return _FUNCTION_NAMES.get(class_name) or to_snake_case(class_name)


def one_operation(function: Callable, class_name: str, args: tuple, kwargs: dict):
    """The result of a call that may have symbolic tensors among its arguments: as one operation where a model is being built."""
    if _recorders and current_scope() is None and (any(map(_is_symbolic, args)) or any(map(_is_symbolic, kwargs.values()))):
        if not any(isinstance(x, Dim) for x in tree.flatten((args, kwargs))):  # a size is not the same for every call of a model
            return _recorders[0](function, class_name, args, kwargs)
    return function(*args, **kwargs)


def _is_symbolic(x) -> bool:
    kind = type(x)
    if kind is list or kind is tuple:
        return any(map(_is_symbolic, x))
    return kind is SymbolicTensor or (kind is dict and any(map(_is_symbolic, x.values())))


def public(function: Callable, name: str) -> Callable:
    """The function as users call it."""
    if hasattr(function, "_public"):
        return function._public
    class_name = class_name_of(name)

    @functools.wraps(function)
    def call(*args, **kwargs):
        for x in args:
            if type(x) in _MAY_HOLD:
                return one_operation(function, class_name, args, kwargs)
        for x in kwargs.values():
            if type(x) in _MAY_HOLD:
                return one_operation(function, class_name, args, kwargs)
        return function(*args, **kwargs)

    call.__qualname__ = f"{function.__qualname__}._public"  # where pickle looks for it
    function._public = call._public = call
    return call


def publish(namespace: dict) -> None:
    """Puts the public form of a module's functions in their place."""
    for name in namespace["__all__"]:
        if name not in UNRECORDED and callable(namespace[name]):
            namespace[name] = public(namespace[name], name)
