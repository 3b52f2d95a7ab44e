"""Which code made a number: a hash of the definitions that a result rests on, and of nothing else.

A definition is a function, a class or a constant at the top of a module. Its
hash is that of its syntax: comments, docstrings, layout and what an error
says do not count, and a name stands for the definition that it means. So a
definition that was moved to another file, or a file that was renamed, is the
same code; a changed constant, default or operator is other code for whatever
reaches it, and for nothing else.

A module that says ``NO_NUMBERS = True`` holds plumbing that no number depends
on; nothing is followed into it. What is looked up by a text (as in `records.KINDS`)
is not followed either.
"""

import ast
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent
NAMES = (PACKAGE.name, "clean_priority")  # that imports call the package by: in the book, and installed from outside
MARK = "NO_NUMBERS"
NO_NUMBERS = True
LAYOUT = ("kind", "type_comment", "type_ignores", "type_params")  # differ between versions of Python
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
SCOPES = (*FUNCTIONS, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
LOOPS = (ast.For, ast.While, ast.With)
Place = tuple[str, str]  # of a definition: module, dotted from the package on, and name


@dataclass(frozen=True)
class Identity:
    """Code that something rests on.

    ``id``: twelve digits for all its definitions together, whatever their
    files are called. ``parts`` maps a module to the digits of those of its
    definitions that are reached: it tells where two identities differ.
    """

    id: str
    parts: Mapping[str, str]

    def differing(self, before: Mapping[str, str]) -> list[str]:
        """The modules in which other ``parts`` differ from these."""
        return sorted(name for name in self.parts.keys() | before.keys() if self.parts.get(name) != before.get(name))


def of_definition(module: str, name: str, package: Path = PACKAGE) -> Identity:
    """Of what a definition reaches; ``module`` as in "paper.angles". ValueError if there is none."""
    code = _Code(package)
    if name not in code.module(module).definitions:
        raise ValueError(f"{module} has no definition {name!r}")
    return code.identity([(module, name)])


def of_notebook(path: Path, package: Path = PACKAGE) -> Identity:
    """Of a notebook's code cells ("notebook" in ``parts``) and all that they reach. ValueError if the file is none."""
    try:
        cells = json.loads(Path(path).read_text(encoding="utf-8"))["cells"]
        sources = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is no notebook ({type(error).__name__})") from error
    code, hashes, starts = _Code(package), [], []
    trees = [_parsed(source) for source in sources]
    whole = Module("notebook", [line for tree in trees if tree for line in tree.body], free=True)
    for source, tree in zip(sources, trees, strict=True):
        if tree is None:
            hashes.append(_digest(source))
            continue
        dump = _Dump(whole, code)
        hashes.append(_digest(dump.text(tree.body)))
        starts += dump.reached
    return code.identity(starts, {"notebook": _digest(" ".join(hashes))})


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _parsed(source: str) -> ast.Module | None:
    """None for a cell with a magic, which is no Python."""
    try:
        return ast.parse(source)
    except SyntaxError:
        return None


@dataclass
class Module:
    """A module's statements by the names that they define, and what its imports mean.

    ``imports`` maps a name to a dotted origin: of the package if it begins
    with ".", of elsewhere if not. ``free``: of a notebook, whose own names
    mean nothing beyond it. ``known``: definitions hashed before, and what they name.
    """

    name: str
    body: list[ast.stmt]
    is_package: bool = False
    free: bool = False
    definitions: dict[str, list[ast.stmt]] = field(default_factory=dict)
    imports: dict[str, str] = field(default_factory=dict)
    known: dict[str, tuple[str, list[Place]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for node in (node for line in self.body for node in ast.walk(line)):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    origin = alias.name if alias.asname else alias.name.partition(".")[0]
                    self.imports[alias.asname or origin] = _inside(origin)
            elif isinstance(node, ast.ImportFrom):
                for alias in node.names:
                    self.imports[alias.asname or alias.name] = _joined(self._base(node), alias.name)
        for line in self.body:
            for name in _defined(line):
                self.definitions.setdefault(name, []).append(line)
        for line in self.body:  # `TABLE.update(...)` is a part of every definition that it names
            if not _defined(line) or isinstance(line, LOOPS):
                names = {node.id for node in ast.walk(line) if isinstance(node, ast.Name)}
                for name in names & self.definitions.keys():
                    self.definitions[name] += [line] if line not in self.definitions[name] else []

    def _base(self, node: ast.ImportFrom) -> str:
        if not node.level:
            return _inside(node.module or "")
        here = self.name.split(".") if self.name else []
        return "." + ".".join([*here[: len(here) - node.level + self.is_package], *filter(None, [node.module])])


def _inside(origin: str) -> str:
    """A dotted name, beginning with "." where it is one of the package's."""
    first, _, rest = origin.partition(".")
    return f".{rest}" if first in NAMES else origin


def _joined(base: str, name: str) -> str:
    return f"{base}{name}" if base.endswith(".") else f"{base}.{name}"


def _defined(line: ast.stmt) -> list[str]:
    """The names that a statement at the top of a module defines."""
    if isinstance(line, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return [line.name]
    nodes = (node for node in ast.walk(line) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store))
    return list(dict.fromkeys(node.id for node in nodes))


class _Code:
    """The modules of a package, each looked for and read once."""

    def __init__(self, package: Path) -> None:
        self._package = package
        self._files: dict[str, Path | None] = {}
        self._modules: dict[str, Module] = {}

    def file(self, name: str) -> Path | None:
        """The file of a dotted module ("" for the package itself); None if there is none."""
        if name not in self._files:
            path = self._package.joinpath(*filter(None, name.split(".")))
            places = (path / "__init__.py", path.with_suffix(".py"))
            self._files[name] = next((place for place in places if place.is_file()), None)
        return self._files[name]

    def module(self, name: str) -> Module:
        """A module; ValueError if there is none of that name."""
        if name not in self._modules:
            file = self.file(name)
            if file is None:
                raise ValueError(f"the package has no module {name!r}")
            state = file.stat()
            self._modules[name] = _read(name, file, state.st_mtime_ns, state.st_size)
        return self._modules[name]

    def meant(self, origin: str) -> Place | str | None:
        """What a dotted origin in the package means: a definition, a module's name, or None for neither."""
        name = origin.removeprefix(".")
        if self.file(name):
            return name
        module, _, attribute = name.rpartition(".")
        if not self.file(module):
            return None
        if attribute in self.module(module).definitions:
            return module, attribute
        further = self.module(module).imports.get(attribute, "")
        return self.meant(further) if further.startswith(".") else None

    def definition(self, module: str, name: str) -> tuple[str, list[Place]]:
        """The hash of a definition, and the definitions that it names."""
        found = self.module(module)
        if name not in found.known:
            dump = _Dump(found, self)
            found.known[name] = _digest(dump.text(found.definitions[name])), dump.reached
        return found.known[name]

    def identity(self, starts: Iterable[Place], more: Mapping[str, str] | None = None) -> Identity:
        """Of all definitions reached from some, these included, and of ``more`` parts; none of plumbing."""
        reached: set[Place] = set()
        waiting = list(starts)
        while waiting:
            one = waiting.pop()
            if one not in reached and MARK not in self.module(one[0]).definitions:
                reached.add(one)
                waiting += self.definition(*one)[1]
        hashes: dict[str, list[str]] = {}
        for one in reached:
            hashes.setdefault(one[0], []).append(self.definition(*one)[0])
        parts = dict(more or {}) | {module: _digest(" ".join(sorted(hashes[module]))) for module in sorted(hashes)}
        everything = sorted(one for some in hashes.values() for one in some)
        return Identity(_digest(" ".join([*(more or {}).values(), *everything])), parts)


@cache
def _read(name: str, file: Path, changed: int, size: int) -> Module:
    """Read again when the file was changed."""
    return Module(name, ast.parse(file.read_text(encoding="utf-8")).body, is_package=file.name == "__init__.py")


class _Dump:
    """Writes syntax as text, the same in every version of Python; ``reached``: the definitions that it names."""

    def __init__(self, module: Module, code: _Code) -> None:
        self._module, self._code = module, code
        self.reached: list[Place] = []
        self._local: list[set[str]] = []  # variables of the functions around

    def text(self, node: object) -> str:
        """Empty fields are left out, and names of other definitions stand for what they mean."""
        if isinstance(node, list):
            return f"[{','.join(self.text(one) for one in node if not isinstance(one, ast.Import | ast.ImportFrom))}]"
        if not isinstance(node, ast.AST):
            return repr(node)
        if isinstance(node, ast.Raise):  # which error, not what it says
            return f"Raise({self.text(node.exc.func if isinstance(node.exc, ast.Call) else node.exc)})"
        if isinstance(node, ast.Name | ast.Attribute) and (origin := self._origin(node)):
            return self._told(origin)
        parts = []
        for name, value in ast.iter_fields(node):
            if name == "body" and isinstance(value, list) and value and _is_text(value[0]):
                value = value[1:]  # a docstring
            if name not in LAYOUT and value not in (None, []):
                inside = isinstance(node, SCOPES) and (name == "body" or not isinstance(node, FUNCTIONS))
                self._local.append(_bound(node) if inside else set())
                parts.append(f"{name}={self.text(value)}")
                self._local.pop()
        return f"{type(node).__name__}({','.join(parts)})"

    def _origin(self, node: ast.expr) -> str | None:
        """The dotted origin of a name, or of an attribute of a module of the package; None for anything else."""
        if isinstance(node, ast.Name):
            if any(node.id in names for names in self._local):
                return None
            if node.id in self._module.definitions:
                return None if self._module.free else _joined(f".{self._module.name}", node.id)
            return self._module.imports.get(node.id)
        base = self._origin(node.value) if isinstance(node, ast.Attribute) else None
        if base is None or not base.startswith(".") or not isinstance(self._code.meant(base), str):
            return None
        return _joined(base, node.attr)

    def _told(self, origin: str) -> str:
        meant = self._code.meant(origin) if origin.startswith(".") else None
        if isinstance(meant, str):  # a module used as a whole: all of it
            self.reached += [(meant, name) for name in self._code.module(meant).definitions]
            return "<a module>"
        if meant is None:  # of elsewhere, or an attribute that no statement of the module defines
            return f"<{origin.rpartition('.')[2] if origin.startswith('.') else origin}>"
        self.reached.append(meant)
        return f"<{meant[1]}>"


def _bound(scope: ast.AST) -> set[str]:
    """The variables of a function or a comprehension: arguments, and what is assigned in it."""
    found, outside, waiting = set(), set(), list(ast.iter_child_nodes(scope))
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.arg):
            found.add(node.arg)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        elif isinstance(node, ast.ExceptHandler | ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Global):
            outside.update(node.names)
        if not isinstance(node, (*SCOPES, ast.ClassDef)):
            waiting += ast.iter_child_nodes(node)
    return found - outside


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
