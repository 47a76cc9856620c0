"""Process-wide settings that Keras calls config: float type, fuzz factor, data format."""

from graphkeras.ir.errors import ArgumentError

_settings = {"floatx": "float32", "epsilon": 1e-7, "image_data_format": "channels_last"}


def floatx() -> str:
    """The default float dtype.

    >>> floatx()
    'float32'
    """
    return _settings["floatx"]


def set_floatx(value: str) -> None:
    """Sets the default float dtype: 'bfloat16', 'float16', 'float32' or 'float64'."""
    accepted = ("bfloat16", "float16", "float32", "float64")
    if value not in accepted:
        raise ArgumentError(f"Unknown `floatx` value: {value}.", got=repr(value), expected=f"one of {accepted}")
    _settings["floatx"] = value


def epsilon() -> float:
    """The fuzz factor of numeric expressions (default 1e-7)."""
    return _settings["epsilon"]


def set_epsilon(value: float) -> None:
    """Sets the fuzz factor of numeric expressions."""
    _settings["epsilon"] = float(value)


def image_data_format() -> str:
    """'channels_last' or 'channels_first'."""
    return _settings["image_data_format"]


def set_image_data_format(data_format: str) -> None:
    """Sets the default image data format: 'channels_last' or 'channels_first'."""
    data_format = str(data_format).lower()
    if data_format not in ("channels_first", "channels_last"):
        raise ArgumentError(
            f"Unknown `data_format` value: {data_format}.",
            got=repr(data_format),
            expected="'channels_first' or 'channels_last'",
        )
    _settings["image_data_format"] = data_format


def standardize_data_format(data_format: str | None) -> str:
    """The given data format, checked, or the default one for None."""
    if data_format is None:
        return image_data_format()
    data_format = str(data_format).lower()
    if data_format not in ("channels_first", "channels_last"):
        raise ArgumentError(
            "The `data_format` argument must be 'channels_first' or 'channels_last'.",
            got=repr(data_format),
            expected="'channels_first' or 'channels_last'",
            mend="correct the name; None takes that of keras.config.image_data_format()",
        )
    return data_format
