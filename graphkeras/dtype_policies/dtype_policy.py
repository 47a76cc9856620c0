"""Dtype policies: which dtype a layer computes in, and which its weights have."""

from graphkeras.ir.dtypes import dtype_name, is_float
from graphkeras.ir.errors import ArgumentError, DTypeError
from graphkeras.trace import Tensor, Variable, apply, convert_to_tensor, is_tensor
from graphkeras.trace.settings import floatx

_MIXED = {"mixed_float16": ("float16", "float32"), "mixed_bfloat16": ("bfloat16", "float32")}
_policy: list = []  # the global policy, empty until set


def _both(name):
    try:
        dtype = dtype_name(name)
    except DTypeError:
        raise ArgumentError(
            f"Cannot convert '{name}' to a mixed precision DTypePolicy.",
            got=f"name={name!r}",
            expected="'mixed_float16', 'mixed_bfloat16', or the name of any basic dtype such as 'float32'",
            mend="correct the name",
        ) from None
    return dtype, dtype


class DTypePolicy:
    """A dtype policy.

    Args:
        name: a dtype name ("float32", "float64", ...), used for both computation and weights, or "mixed_float16" or
            "mixed_bfloat16": computation in the half-precision dtype, weights in float32. None means the global policy.

    Example:

    >>> policy = DTypePolicy("mixed_bfloat16")
    >>> policy.compute_dtype, policy.variable_dtype
    ('bfloat16', 'float32')
    """

    def __init__(self, name=None):
        if name is None:
            name = dtype_policy().name
        if not isinstance(name, str):
            raise ArgumentError("'name' must be a string, such as 'mixed_float16'.", got=f"name={name!r} (of type {type(name)})")
        self._name = name
        self._compute_dtype, self._variable_dtype = _MIXED.get(name) or _both(name)

    @property
    def name(self) -> str:
        return self._name

    @property
    def compute_dtype(self) -> str:
        """The dtype layers with this policy compute in."""
        return self._compute_dtype

    @property
    def variable_dtype(self) -> str:
        """The dtype of the weights of layers with this policy."""
        return self._variable_dtype

    @property
    def quantization_mode(self):
        """None: policies are not quantized."""
        return None

    def convert_input(self, x, autocast, dtype):
        """`x` as a layer sees it: arrays become tensors and floats are cast to `dtype`; other objects stay as they are."""
        if is_tensor(x):
            cast = autocast and is_float(x.dtype) and x.dtype != dtype
            if isinstance(x, Variable):
                x = x.value
            return apply("cast", x, dtype=dtype) if cast else x
        if not hasattr(x, "__array__"):
            return x
        try:
            tensor = convert_to_tensor(x)
        except TypeError:
            return x
        if autocast and is_float(tensor.dtype) and tensor.dtype != dtype:
            return Tensor(tensor.array, dtype)
        return tensor

    def get_config(self):
        return {"name": self.name}

    @classmethod
    def from_config(cls, config):
        return cls(**config)

    def __eq__(self, other):
        return type(self) is type(other) and self.name == other.name

    def __hash__(self):
        return hash((type(self), self.name))

    def __repr__(self):
        return f'<DTypePolicy "{self.name}">'


FloatDTypePolicy = DTypePolicy


def dtype_policy():
    """The global dtype policy, used by layers made without `dtype`."""
    return _policy[0] if _policy else DTypePolicy(floatx())


def set_dtype_policy(policy):
    """Sets the global dtype policy: a `DTypePolicy`, or a name such as "mixed_bfloat16"."""
    if not isinstance(policy, (DTypePolicy, str)):
        raise ArgumentError(
            "Invalid `policy` argument.",
            got=f"policy={policy!r} (of type {type(policy)})",
            expected="the string name of a policy (such as 'mixed_float16') or a `DTypePolicy` instance",
        )
    _policy[:] = [policy if isinstance(policy, DTypePolicy) else DTypePolicy(policy)]
