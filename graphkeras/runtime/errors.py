"""Errors of compiling, loading and running kernels."""

from graphkeras.ir.errors import GraphKerasError


class CompileError(GraphKerasError, RuntimeError):
    """A kernel could not be compiled: its source is wrong, so this is a fault of the lowering.

    Args:
        symbol: The kernel's symbol.
        reason: What Numba or LLVM said.
        body: The source.
    """

    def __init__(self, symbol: str, reason: str, body: str):
        self.symbol, self.reason, self.body = symbol, reason, body
        numbered = "\n".join(f"{number:5d}  {line}" for number, line in enumerate(body.splitlines(), 1))
        super().__init__(
            f"kernel {symbol} does not compile: {reason}",
            got="the source\n" + numbered,
            expected="integers, range, while and if, and names of the SIMD language",
            where=f"kernel {symbol}",
            mend="mend the lowering that wrote this source",
        )


class LoadError(GraphKerasError, RuntimeError):
    """Object code could not be brought into memory."""


class JobError(GraphKerasError, RuntimeError):
    """A job was used in a way it cannot be run."""


class KernelMismatchError(GraphKerasError, RuntimeError):
    """A kernel gave other numbers than NumPy (flag VALIDATE)."""


class NotFiniteError(GraphKerasError, FloatingPointError):
    """A node made NaN or infinity of finite numbers (flag CHECK_NAN)."""


class StaleProgramError(GraphKerasError, RuntimeError):
    """A program that was read from the cache is not the one that its graph gives."""
