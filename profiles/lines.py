"""Where the keys of a TOML file stand: its parsers say it of syntax errors only."""

import re
from collections.abc import Iterator

_TOKEN = re.compile(
    r"""(?P<blank>[ \t\r]+|\#[^\n]*)
    |(?P<newline>\n)
    |(?P<text>\"{3}(?:\\.|[^\\])*?\"{3,5}|'{3}.*?'{3,5}|"(?:\\.|[^"\\\n])*"|'[^'\n]*')
    |(?P<mark>[\[\]{},=.])
    |(?P<bare>[^\s\[\]{},=.\#"']+)""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|(.))")

Path = tuple[str | int, ...]


def lines_of(text: str) -> dict[Path, int]:
    """Line, from 1, of every table, key and list item of a TOML text that has been parsed without an error.

    Items of a list are numbered from 0.
    """
    return _Scanner(text).lines


class _Scanner:
    def __init__(self, text: str) -> None:
        self.lines: dict[Path, int] = {}
        self.tokens = _tokens(text)
        self.kind, self.value, self.line = next(self.tokens)
        self.counts: dict[Path, int] = {}
        table: Path = ()
        while self.kind != "end":
            if self.value == "[":
                table = self._header()
            elif self.kind == "newline":
                self._next()
            else:
                self._pair(table)

    def _next(self) -> None:
        self.kind, self.value, self.line = next(self.tokens)

    def _skip(self) -> None:
        while self.kind == "newline":
            self._next()

    def _header(self) -> Path:
        """`[a.b]` or `[[a.b]]`; a part that is a list of tables means its newest one."""
        line = self.line
        self._next()
        listed = self.value == "["
        if listed:
            self._next()
        table: Path = ()
        keys = self._keys()
        for place, part in enumerate(keys, start=1):
            table = (*table, part)
            self.lines.setdefault(table, line)
            if listed and place == len(keys):
                self.counts[table] = self.counts.get(table, -1) + 1
            if table in self.counts:
                table = (*table, self.counts[table])
                self.lines.setdefault(table, line)
        for _ in range(1 + listed):
            self._next()
        return table

    def _pair(self, table: Path) -> None:
        line = self.line
        path = table
        for part in self._keys():
            path = (*path, part)
            self.lines.setdefault(path, line)
        self._next()  # the equals sign
        self._value(path)

    def _keys(self) -> list[str]:
        keys = [_unquoted(self.value)]
        self._next()
        while self.value == ".":
            self._next()
            keys.append(_unquoted(self.value))
            self._next()
        return keys

    def _value(self, path: Path) -> None:
        self.lines.setdefault(path, self.line)
        if self.value == "[":
            self._next()
            self._skip()
            count = 0
            while self.value != "]":
                self._value((*path, count))
                count += 1
                self._separator()
            self._next()
        elif self.value == "{":
            self._next()
            self._skip()
            while self.value != "}":
                self._pair(path)
                self._separator()
            self._next()
        else:
            while self.kind not in {"newline", "end"} and self.value not in {",", "]", "}"}:
                self._next()

    def _separator(self) -> None:
        self._skip()
        if self.value == ",":
            self._next()
        self._skip()


def _tokens(text: str) -> Iterator[tuple[str, str, int]]:
    line = 1
    for match in _TOKEN.finditer(text):
        kind, value = str(match.lastgroup), match.group()
        if kind != "blank":
            yield kind, value, line
        line += value.count("\n")
    yield "end", "", line


def _unquoted(key: str) -> str:
    if key.startswith("'"):
        return key[1:-1]
    if not key.startswith('"'):
        return key
    return _ESCAPE.sub(_character, key[1:-1])


def _character(match: re.Match[str]) -> str:
    short, long, single = match.groups()
    if single is not None:
        return {"b": "\b", "t": "\t", "n": "\n", "f": "\f", "r": "\r"}.get(single, single)
    return chr(int(short or long, 16))
