"""Python functions as text: for lambdas in configs. Reading them back runs foreign code, so it is off by default."""

import base64
import marshal
import types


def dump_function(function):
    """The code, defaults and closure of a function."""
    code = base64.b64encode(marshal.dumps(function.__code__)).decode("ascii")
    closure = tuple(cell.cell_contents for cell in function.__closure__) if function.__closure__ else None
    return {"code": code, "defaults": function.__defaults__, "closure": closure}


def load_function(dumped):
    """The function of `dump_function`, with NumPy, `keras` and `ops` as its globals."""
    import numpy

    import graphkeras

    code = marshal.loads(base64.b64decode(dumped["code"]))
    closure = None if dumped["closure"] is None else tuple(types.CellType(value) for value in dumped["closure"])
    defaults = None if dumped["defaults"] is None else tuple(dumped["defaults"])
    names = {"keras": graphkeras, "graphkeras": graphkeras, "ops": graphkeras.ops, "np": numpy, "numpy": numpy}
    return types.FunctionType(code, {"__builtins__": __builtins__, **names}, "lambda", defaults, closure)
