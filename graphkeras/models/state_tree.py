"""The values of all variables of a model as a tree of dicts, by their paths."""

from graphkeras.ir.errors import ArgumentError

_FORMATS = ("backend_tensor", "numpy_array")


def _groups(model):
    return {
        "trainable_variables": model.trainable_variables,
        "non_trainable_variables": model.non_trainable_variables,
        "optimizer_variables": [] if model.optimizer is None else model.optimizer.variables,
        "metrics_variables": model.metrics_variables,
    }


def state_tree(model, value_format):
    """A dict with a tree for each group of variables. See `Model.get_state_tree`."""
    if value_format not in _FORMATS:
        raise ArgumentError("Invalid `value_format`.", got=f"value_format={value_format!r}", expected=f"one of {_FORMATS}")
    result = {}
    for group, variables in _groups(model).items():
        result[group] = root = {}
        for variable in variables:
            *folders, name = variable.path.split("/")
            place = root
            for folder in folders:
                place = place.setdefault(folder, {})
            if name in place:
                raise ArgumentError(
                    f"The following variable path is found twice in the model: '{variable.path}'. `get_state_tree()` can only be "
                    "called when all variable paths are unique.",
                    got=f"two variables with the path '{variable.path}'",
                    mend="give unique names to your layers (and other objects)",
                )
            place[name] = variable.numpy() if value_format == "numpy_array" else variable.value
    return result


def assign_state_tree(model, tree):
    """Sets the variables a tree has values for. See `Model.set_state_tree`."""
    groups = _groups(model)
    for group, values in tree.items():
        if group not in groups:
            raise ArgumentError(f"Unknown variable name: {group}", got=f"key {group!r}", expected=f"keys among {list(groups)}")
        by_path = dict(_leaves(values, ""))
        for variable in groups[group]:
            if variable.path in by_path:
                variable.assign(by_path[variable.path])


def _leaves(tree, prefix):
    for name, value in tree.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{prefix}{name}/")
        else:
            yield prefix + name, value
