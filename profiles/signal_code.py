"""A signal's code: found by its reference, read once, and executed anew whenever it is asked to remember nothing."""

import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from dataclasses import dataclass
from hashlib import sha256
from importlib.abc import SourceLoader
from importlib.metadata import entry_points
from importlib.util import find_spec, module_from_spec, spec_from_loader
from pathlib import Path
from traceback import walk_tb

from dagster import DagsterExecutionInterruptedError

from sleevegraph.errors import ConfigurationError, SignalError
from sleevegraph.signals import ENTRY_POINTS
from sleevegraph.signals.contract import printable

FOLDERS = ("sleeves", "families")
"""Below the profiles' folder: where profile files lie that a signal's file may lie beside."""

_INTERRUPTS = (KeyboardInterrupt, DagsterExecutionInterruptedError)
"""What ends a process from outside, wherever it is, and is no fault of the code that runs."""


@dataclass(frozen=True, slots=True)
class Code:
    """A Python file that has a signal's function."""

    path: Path
    shown: str
    """As it stands in errors."""
    module: str
    """What it is imported as; relative imports of a package's module work."""
    name: str
    """Of the function."""
    source: bytes

    @property
    def digest(self) -> str:
        """SHA-256 of the file."""
        return sha256(self.source).hexdigest()

    @contextmanager
    def contained(self) -> Iterator[None]:
        """Where the file's code is executed. What it prints goes to stderr; a filter of warnings ends with it.

        Raises
        ------
        SignalError
            For whatever is raised inside but an interrupt: its place in the file, its type and what it says.
        """
        try:
            with _quiet():
                yield
        except _INTERRUPTS:
            raise
        except BaseException as error:
            raise SignalError(_raised(error, str(self.path), self.shown)) from error

    def load(self) -> Callable[..., object]:
        """Execute the file as a new module and return the function.

        Raises
        ------
        ConfigurationError
            When it cannot be executed, or has no such function.
        """
        name = f"{self.module}__{self.digest[:16]}"
        loader = _Bytes(str(self.path), self.source)
        spec = spec_from_loader(name, loader)
        if spec is None:
            raise ConfigurationError(f"{self.shown}: expected a Python module, found none")
        module = sys.modules[name] = module_from_spec(spec)  # where dataclasses of the module look for it
        try:
            with self.contained():
                loader.exec_module(module)
                function: object = getattr(module, self.name, None)
        except SignalError as error:
            raise ConfigurationError(f"expected a file that can be imported, found {error}") from error
        if not callable(function):
            found = "none" if function is None else f"a {type(function).__name__}"
            raise ConfigurationError(f"{self.shown}: expected a function {self.name}, found {found}")
        return function


class _Bytes(SourceLoader):
    """Executes what was read, whatever the file is by now, and leaves no bytecode."""

    def __init__(self, path: str, source: bytes) -> None:
        self.path, self.source = path, source

    def get_filename(self, fullname: str) -> str:
        """Return the path, as tracebacks name it."""
        del fullname
        return self.path

    def get_data(self, path: str | bytes) -> bytes:
        """Return what was read."""
        del path
        return self.source


def code_of(reference: str, folder: Path) -> Code:
    """Find and read the code of a reference; a file lies beside the profiles of `folder`.

    Raises
    ------
    ConfigurationError
        When there is no such file, module or entry point, or more than one.
    """
    if ":" not in reference:
        reference = _entry_point(reference)
    module, _, name = reference.partition(":")
    if not (module and name.isidentifier()):
        raise ConfigurationError(f"expected package.module:function or file.py:function, found {reference!r}")
    if module.endswith(".py"):
        path, shown, module = beside(module, folder), module, Path(module).stem
    else:
        path = _module_file(module)
        shown = f"{module.replace('.', '/')}.py"
    try:
        return Code(path, shown, module, name, path.read_bytes())
    except (OSError, ValueError) as error:
        found = getattr(error, "strerror", None) or error  # a path with a null character is a ValueError
        raise ConfigurationError(f"expected a readable Python file {path}, found: {found}") from error


def beside(file: str, folder: Path) -> Path:
    """Where a file lies beside the profiles of `folder`; an absolute one lies where it says.

    Raises
    ------
    ConfigurationError
        When it lies beside sleeves and beside families: profiles of both may share the logic that has the signal.
    """
    places = [folder / name / file for name in FOLDERS]
    found: list[Path] = []
    with suppress(OSError):  # of a name that is too long for a file
        found = [place for place in places if place.is_file()]
    if len({place.resolve() for place in found}) > 1:
        both = " and ".join(f"{name}/{file}" for name in FOLDERS)
        raise ConfigurationError(f"expected one file {file} beside the profiles, found {both}; rename or remove one")
    return found[0] if found else places[0]


def _entry_point(name: str) -> str:
    entries = entry_points(group=ENTRY_POINTS, name=name)
    if len(entries) != 1:
        known = ", ".join(sorted(entry_points(group=ENTRY_POINTS).names)) or "none"
        found = f"{len(entries)} of them" if entries else f"no such entry point (there are {known})"
        raise ConfigurationError(
            f"expected package.module:function, file.py:function or one entry point of group {ENTRY_POINTS}, "
            f"found {name!r}: {found}"
        )
    return next(iter(entries)).value


def _module_file(module: str) -> Path:
    try:
        with _quiet():
            spec = find_spec(module)  # imports the packages above it
    except _INTERRUPTS:
        raise
    except BaseException as error:
        raise ConfigurationError(f"expected a module {module}, found none: {_said(error)}") from error
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        found = "none" if spec is None else f"{spec.origin or 'a package without a file'}"
        raise ConfigurationError(f"expected a module {module} with a Python file, found {found}; install its package")
    return Path(spec.origin)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the user's code from stdout, where commands answer, and from the process's filters of warnings."""
    with warnings.catch_warnings(), redirect_stdout(sys.stderr):
        yield


def _raised(error: BaseException, path: str, file: str) -> str:
    """Place in the user's `file`, type and text of what it raised; `path` is its name in tracebacks."""
    lines: list[int | None] = [line for frame, line in walk_tb(error.__traceback__) if frame.f_code.co_filename == path]
    if isinstance(error, SyntaxError) and error.filename == path:
        lines.append(error.lineno)
    place = f"{file}:{lines[-1]}" if lines and lines[-1] else file
    return f"{place}: {_said(error)}"


def _said(error: BaseException) -> str:
    """Type and text, where it has one that can be had: what it says of itself is code of the user's, too."""
    name = printable(type(error).__name__)
    try:
        text = str(error.msg or "") if isinstance(error, SyntaxError) else str(error)
        said = printable(" ".join(text.split()))
    except _INTERRUPTS:
        raise
    except BaseException:  # noqa: BLE001 - __str__ may raise whatever it likes
        return name
    return f"{name}: {said}" if said else name
