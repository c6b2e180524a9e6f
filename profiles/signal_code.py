"""A signal's code: found by its reference, read once, and executed anew whenever it is asked to remember nothing."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from importlib.abc import SourceLoader
from importlib.metadata import entry_points
from importlib.util import find_spec, module_from_spec, spec_from_loader
from pathlib import Path

from sleevegraph.errors import ConfigurationError
from sleevegraph.signals import ENTRY_POINTS
from sleevegraph.signals.contract import raised


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
            loader.exec_module(module)
            function: object = getattr(module, self.name, None)
        except (Exception, SystemExit) as error:
            found = raised(error, str(self.path), self.shown)
            raise ConfigurationError(f"expected a file that can be imported, found {found}") from error
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
    """Find and read the code of a reference; a file lies in `folder`.

    Raises
    ------
    ConfigurationError
        When there is no such file, module or entry point.
    """
    if ":" not in reference:
        reference = _entry_point(reference)
    module, _, name = reference.partition(":")
    if not (module and name.isidentifier()):
        raise ConfigurationError(f"expected package.module:function or file.py:function, found {reference!r}")
    if module.endswith(".py"):
        path, shown, module = folder / module, module, Path(module).stem
    else:
        path = _module_file(module)
        shown = f"{module.replace('.', '/')}.py"
    try:
        return Code(path, shown, module, name, path.read_bytes())
    except (OSError, ValueError) as error:
        found = getattr(error, "strerror", None) or error  # a path with a null character is a ValueError
        raise ConfigurationError(f"expected a readable Python file {path}, found: {found}") from error


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
        spec = find_spec(module)  # imports the packages above it
    except (Exception, SystemExit) as error:
        found = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise ConfigurationError(f"expected a module {module}, found none: {found}") from error
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        found = "none" if spec is None else f"{spec.origin or 'a package without a file'}"
        raise ConfigurationError(f"expected a module {module} with a Python file, found {found}; install its package")
    return Path(spec.origin)
