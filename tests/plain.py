"""A kernel as plain Python: the debugger's door, and what the compiled one is held against."""

import sys
import types


def plain_kernel(kernel):
    """A copy of a kernel in which every compiled function is its plain Python original."""
    plain: dict[str, object] = {}

    def add(module):
        for name, value in vars(module).items():
            source = getattr(value, "py_func", None)
            if source is None:
                plain.setdefault(name, value)
            elif name not in plain:
                plain[name] = types.FunctionType(source.__code__, plain, name, source.__defaults__)
                add(sys.modules[source.__module__])

    add(kernel)
    return types.SimpleNamespace(**plain)
