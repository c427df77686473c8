"""Every error that a user can cause has one parent; nothing else has."""

import importlib
import inspect
import pkgutil

import nanoemox
from nanoemox.files.errors import ArgumentError, NanoEmoXError


def _errors_of_ours() -> set[type[Exception]]:
    """Every public class of an exception that a file of the package defines."""
    names = [
        m.name for m in pkgutil.walk_packages(nanoemox.__path__, "nanoemox.") if "__main__" not in m.name
    ]
    modules = [importlib.import_module(name) for name in names]
    return {
        found
        for module in modules
        for name, found in inspect.getmembers(module, inspect.isclass)
        if issubclass(found, Exception) and found.__module__ == module.__name__ and not name.startswith("_")
    }


def test_every_public_error_of_the_package_has_the_one_parent() -> None:
    errors = _errors_of_ours()
    assert {"MediaError", "ManifestError", "RecipeError", "CorpusError"} <= {e.__name__ for e in errors}
    assert not [error for error in errors if not issubclass(error, NanoEmoXError)]


def test_a_wrong_argument_is_a_value_error_to_those_who_catch_that() -> None:
    assert issubclass(ArgumentError, NanoEmoXError)
    assert issubclass(NanoEmoXError, ValueError)
