"""Imports point down: a module imports only from floors below its own, or from its own folder.

Every import counts, those inside functions and under `TYPE_CHECKING` too. Only a name put together at
run time escapes.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

NAME = "keras_koopman"
PACKAGE = Path(__file__).parents[1] / NAME

FLOORS = {
    "errors": 0,  # and every top-level `_name`
    "linalg": 1, "backend": 1,
    "spectrum": 2, "harmonics": 2,
    "trajectory": 3, "observables": 3,
    "schedules": 4, "verdicts": 4, "pruning": 4, "relaxation": 4, "plotting": 4,
    "callbacks": 5, "optimizers": 5, "export": 5,
    "coresets": 6, "depth": 6,
    # What a user meets first may import anything.
    "__init__": 7, "__main__": 7, "cli": 7, "demo": 7,
}  # fmt: skip
ROOF = 7
# These stand on keras.ops alone. Floors 3 and up may use them.
APART = {"losses", "metrics", "layers", "reachability"}
APART_FLOOR = 2
APART_MAY_USE = {"linalg", "backend", "harmonics"}


def floor_of(room: str) -> int | None:
    """Floor of a top-level folder or file; None if the table does not know it."""
    if room.startswith("_") and not room.startswith("__"):
        return 0
    return APART_FLOOR if room in APART else FLOORS.get(room)


def may_import(room: str, other: str) -> bool:
    if room == other or floor_of(room) == ROOF:
        return True
    if room in APART:
        return floor_of(other) == 0 or other in APART_MAY_USE
    return floor_of(other) < floor_of(room)


def absolute(target: str, path: Path) -> list[str]:
    """Parts of the absolute name of `target`, which may begin with dots, seen from the module at `path`."""
    name = target.lstrip(".")
    package = [NAME, *path.parent.parts]
    dots = len(target) - len(name)
    if dots > len(package):
        raise ImportError(f"{path}: {target!r} points out of the package")
    base = package[: len(package) - dots + 1] if dots else []
    return base + (name.split(".") if name else [])


def imported_rooms(source: str, path: Path) -> Iterator[tuple[int, str]]:
    """Line and top-level folder or file of every import of ours."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names=names):
                targets = [absolute(alias.name, path) for alias in names]
            case ast.ImportFrom(module=module, names=names, level=level):
                origin = absolute("." * level + (module or ""), path)
                targets = [[*origin, alias.name] for alias in names]
            case ast.Call(
                func=ast.Name(id="import_module" | "__import__") | ast.Attribute(attr="import_module"),
                args=[ast.Constant(value=str(name)), *_],
            ):
                targets = [absolute(name, path)]
            case _:
                continue
        for top, *rest in targets:
            if top == NAME:
                # What has no floor is a name that the package's __init__ defines.
                known = rest and floor_of(rest[0]) is not None
                yield node.lineno, rest[0] if known else "__init__"


def faults(source: str, path: Path) -> list[str]:
    """One line for each import that does not point down."""
    room = path.parts[0].removesuffix(".py")
    if floor_of(room) is None:
        return [f"{path}: {room!r} has no floor. Add it to FLOORS in tests/test_house.py."]
    return [
        f"{path}:{line}: {room!r}, floor {floor_of(room)}, must not import {other!r}, floor {floor_of(other)}"
        for line, other in imported_rooms(source, path)
        if not may_import(room, other)
    ]


def test_imports_point_down():
    modules = sorted(PACKAGE.rglob("*.py"))
    assert modules, f"no module found in {PACKAGE}"
    found = [fault for m in modules for fault in faults(m.read_text("utf-8"), m.relative_to(PACKAGE))]
    assert not found, "\n".join(found)


def test_every_folder_is_a_package():
    """A folder without `__init__.py` would be left out of the wheel."""
    folders = {module.parent for module in PACKAGE.rglob("*.py")}
    assert folders
    assert [str(folder) for folder in folders if not (folder / "__init__.py").exists()] == []


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("spectrum/operator.py", "import numpy\nfrom ..linalg import gram\nfrom .posterior import draw"),
        ("spectrum/operator.py", "from keras_koopman import linalg, errors, _version"),
        ("spectrum/__init__.py", "from .operator import Operator"),
        ("pruning/criteria/kmp.py", "from ...trajectory import window\nfrom ..report import Report"),
        ("callbacks/recorder.py", "from ..losses import Sobolev\nfrom ..trajectory.window import Window"),
        ("losses/sobolev.py", "from keras_koopman.backend import float64\nfrom ..linalg import gram"),
        ("cli.py", "from .depth import search\nimport keras_koopman"),
        ("__init__.py", "from .depth import search"),
    ],
)
def test_checker_accepts(path, source):
    assert faults(source, Path(path)) == []


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("linalg/gram.py", "from ..spectrum import operator"),
        ("linalg/gram.py", "from .. import spectrum"),
        ("linalg/gram.py", "import keras_koopman.spectrum.operator as operator"),
        ("linalg/gram.py", "from keras_koopman.spectrum.operator import Operator"),
        ("linalg/gram.py", "def f():\n    from keras_koopman import backend"),
        ("linalg/gram.py", "importlib.import_module('keras_koopman.depth')"),
        ("linalg/gram.py", "importlib.import_module('..depth', __package__)"),
        ("spectrum/operator.py", "from keras_koopman import decompose"),
        ("spectrum/operator.py", "from keras_koopman import *"),
        ("spectrum/operator.py", "from ..losses import Sobolev"),
        ("spectrum/operator.py", "from ..unheard_of import x"),
        ("verdicts/stop.py", "if TYPE_CHECKING:\n    from ..pruning import report"),
        ("losses/sobolev.py", "from ..metrics import Distance"),
        ("losses/sobolev.py", "from ..schedules import Constant"),
        ("_version.py", "from .errors import Error"),
        ("backend.py", "from . import schedules"),
        ("unheard_of/x.py", ""),
        ("unheard_of.py", ""),
    ],
)
def test_checker_refuses(path, source):
    assert len(faults(source, Path(path))) == 1


def test_checker_says_what_to_do_about_an_unknown_folder():
    assert "Add it to FLOORS" in faults("", Path("unheard_of/x.py"))[0]


def test_checker_refuses_to_leave_the_package():
    with pytest.raises(ImportError, match="points out of the package"):
        faults("from ... import x", Path("linalg/gram.py"))
