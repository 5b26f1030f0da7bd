"""All errands: every module of this folder that has an ERRANDS tuple."""

import pkgutil
from importlib import import_module

import services.errands as folder
from services.errands.spec import ErrandSpec


def find_errands() -> dict[str, ErrandSpec]:
    modules = [import_module(f"{folder.__name__}.{found.name}") for found in pkgutil.iter_modules(folder.__path__)]
    return {spec.id: spec for module in modules for spec in getattr(module, "ERRANDS", ())}


ERRANDS = find_errands()
