"""What users can name: listed, documented, typed, with an example. `make doctest` runs the examples."""

import inspect
import types
from pathlib import Path

import pytest

import keras_koopman as kk

LISTED = Path(__file__).with_name("public_names.txt").read_text().split()


def exported(module=kk, prefix=""):
    """Dotted names of what a module exports, those of its exported modules included."""
    for name in module.__all__:
        value = getattr(module, name)
        if isinstance(value, types.ModuleType):
            yield from exported(value, f"{prefix}{name}.")
        else:
            yield prefix + name


def resolve(name):
    value = kk
    for part in name.split("."):
        value = getattr(value, part)
    return value


def callables(value):
    """A function, or the constructor and the public methods and properties that a class defines itself."""
    if not inspect.isclass(value):
        yield value
        return
    for name, member in vars(value).items():
        member = member.fget if isinstance(member, property) else getattr(member, "__func__", member)
        if inspect.isfunction(member) and (name == "__init__" or not name.startswith("_")):
            yield member


def untyped(function):
    """Parameters of a function without a type, and `return` if that has none."""
    signature = inspect.signature(getattr(function, "__wrapped__", function))
    found = [
        name
        for name, parameter in signature.parameters.items()
        if parameter.annotation is parameter.empty and name not in ("self", "cls")
    ]
    if signature.return_annotation is signature.empty:
        found.append("return")
    return found


def lacks(value):
    """What a public name lacks, in words."""
    doc = inspect.getdoc(value) or ""
    found = []
    if not value.__doc__:
        found.append("a docstring")
    if "Example:" not in doc or ">>>" not in doc:
        found.append("an example")
    for function in callables(value):
        if function is not value and function.__name__ != "__init__" and not function.__doc__:
            found.append(f"a docstring on {function.__name__}")
        found += [f"a type for {name} of {function.__name__}" for name in untyped(function)]
    return found


def test_names_are_those_listed():
    """A name that appears or goes must be entered in tests/public_names.txt on purpose."""
    assert sorted(exported()) == sorted(LISTED)


@pytest.mark.parametrize("name", LISTED)
def test_name_is_documented(name):
    assert lacks(resolve(name)) == []


def test_the_check_sees_what_is_missing():
    def bare(x):
        return x

    class Bare:
        def method(self) -> int:
            return 1

    assert lacks(bare) == ["a docstring", "an example", "a type for x of bare", "a type for return of bare"]
    assert lacks(Bare) == ["a docstring", "an example", "a docstring on method"]
