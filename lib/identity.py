"""Which code made a number: a hash of the definitions that a result rests on, and of nothing else.

A definition is a function, a class or a constant at the top of a module. Its
hash is that of its syntax and of what it names: comments, docstrings, layout,
types of arguments and what an error says do not count, and a name stands for
the definition that it means. So a definition that was moved to another file,
or a file that was renamed, is the same code; a changed constant, default or
operator is other code for whatever reaches it, and for nothing else.

A module that says ``NO_NUMBERS = True`` holds plumbing that no number depends
on; nothing is followed into it. Not followed either: what is looked up by a
text (as in `records.KINDS`), and tables that decorators fill.
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
LAYOUT = ("kind", "type_comment", "type_ignores", "type_params", "returns")  # differ between Pythons, or are notes
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
SCOPES = (*FUNCTIONS, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
DEFINING = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
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
    """Of a notebook's code cells ("notebook" in ``parts``) and all that they reach. ValueError if the file is none.

    How they are divided into cells is no part of it. Lines with a magic count as text.
    """
    try:
        cells = json.loads(Path(path).read_text(encoding="utf-8"))["cells"]
        sources = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is no notebook ({type(error).__name__})") from error
    lines: list[ast.stmt] = []
    texts: list[str] = []
    for source in sources:
        magics = [line for line in source.splitlines() if line.lstrip()[:1] in ("%", "!")]
        try:
            lines += ast.parse("\n".join("pass" if line in magics else line for line in source.splitlines())).body
        except SyntaxError:  # no Python at all
            magics = [source]
        texts += magics
    code = _Code(package)
    whole = Module("notebook", lines, free=True)
    dump = _Dump(whole, code)
    if (star := whole.imports.get("*", "")).startswith("."):
        reached = star[1:].removesuffix("*").removesuffix(".")
        if code.file(reached):  # else a package of the reader's own that has our name
            dump.reach_all(reached)
    written = dump.text([line for line in lines if not isinstance(line, ast.Pass)])
    return code.identity(dump.reached, " ".join([written, *texts]))


def of_everything(files: Iterable[Path], package: Path = PACKAGE) -> str:
    """Twelve digits for what no identity follows: the package's plumbing, byte by byte, and ``files``."""
    texts = [path.read_bytes() for path in sorted(package.rglob("*.py"))]
    plumbing = [text for text in texts if f"{MARK} = True".encode() in text]
    return _digest(" ".join(hashlib.sha256(one).hexdigest() for one in [*plumbing, *map(Path.read_bytes, files)]))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]


@dataclass
class Module:
    """A module's statements by the names that they define, and what its imports mean.

    ``definitions``: under "" what names nothing of the module, and so may
    concern all of it. ``imports`` maps a name to a dotted origin: of the
    package if it begins with ".", of elsewhere if not. ``free``: of a
    notebook, whose own names mean nothing beyond it. ValueError for imports
    from the package that cannot be told apart by their name.
    """

    name: str
    body: list[ast.stmt]
    is_package: bool = False
    free: bool = False
    plumbing: bool = False
    definitions: dict[str, list[ast.stmt]] = field(default_factory=dict)
    imports: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for line in self.body:
            for name in _defined(line):
                self.definitions.setdefault(name, []).append(line)
        for node in (node for line in self.body for node in ast.walk(line)):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    self._import(*((alias.asname, alias.name) if alias.asname else [alias.name.partition(".")[0]] * 2))
            elif isinstance(node, ast.ImportFrom):
                for alias in node.names:
                    self._import(alias.asname or alias.name, alias.name, self._base(node))
        for line in self.body:
            named = _changed(line) & self.definitions.keys()
            plain = isinstance(line, ast.Import | ast.ImportFrom) or _is_text(line)
            if not named and not plain and not _defined(line):
                named = {""}
            for name in named:
                known = self.definitions.setdefault(name, [])
                known += [] if line in known else [line]
        for known in self.definitions.values():
            known.sort(key=self.body.index)
        mark = self.definitions.get(MARK, [None])[0]
        self.plumbing = isinstance(mark, ast.Assign) and getattr(mark.value, "value", False) is True

    def _import(self, name: str, what: str, base: str | None = None) -> None:
        origin = _inside(what) if base is None else _joined(base, what)
        others = {self.imports.get(name, origin)} - {origin}
        clash = name == "*" or others or name in self.definitions
        if clash and not self.free and any(one.startswith(".") for one in {origin, *others}):
            raise ValueError(f"{self.name}: {name!r}, imported from the package, means something else there too")
        self.imports[name] = origin

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
    """The names that a statement at the top of a module defines, inside ``if`` and ``try`` too."""
    found, waiting = [], [line]
    while waiting:
        node = waiting.pop(0)
        if isinstance(node, DEFINING):
            found.append(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.append(node.id)
        elif not isinstance(node, SCOPES):
            waiting += ast.iter_child_nodes(node)
    return list(dict.fromkeys(found))


def _changed(line: ast.stmt) -> set[str]:
    """The names whose values a statement may change without defining them: `TABLE["a"] = 1`, `fill(TABLE)`."""
    if isinstance(line, DEFINING):
        return set()
    found = set()
    for node in ast.walk(line):
        stored = isinstance(node, ast.Attribute | ast.Subscript) and isinstance(node.ctx, ast.Store)
        if stored or isinstance(node, ast.Expr):
            found |= {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}
    return found


class _Code:
    """The modules of a package, each looked for and read once."""

    def __init__(self, package: Path) -> None:
        self._package = package
        self._files: dict[str, Path | None] = {}
        self._modules: dict[str, Module] = {}
        self._known: dict[Place, tuple[str, list[Place]]] = {}

    def file(self, name: str) -> Path | None:
        """The file of a dotted module ("" for the package itself); None if there is none."""
        if name not in self._files:
            path = self._package.joinpath(*filter(None, name.split(".")))
            places = (path / "__init__.py", path.with_suffix(".py"))
            self._files[name] = next((place for place in places if place.is_file()), None)
        return self._files[name]

    def module(self, name: str) -> Module:
        """A module; ValueError if there is none of that name, or it is no Python."""
        if name not in self._modules:
            file = self.file(name)
            if file is None:
                raise ValueError(f"the package has no module {name!r}")
            state = file.stat()
            self._modules[name] = _read(name, file, state.st_mtime_ns, state.st_size)
        return self._modules[name]

    def meant(self, origin: str, before: tuple[str, ...] = ()) -> Place | str | None:
        """What a dotted origin in the package means: a definition, a module's name, or None for neither."""
        name = origin.removeprefix(".")
        if self.file(name):
            return name
        module, _, attribute = name.rpartition(".")
        if not self.file(module) or origin in before:
            return None
        if attribute in self.module(module).definitions:
            return module, attribute
        further = self.module(module).imports.get(attribute, "")
        return self.meant(further, (*before, origin)) if further.startswith(".") else None

    def definition(self, place: Place) -> tuple[str, list[Place]]:
        """The hash of a definition's own syntax, and the definitions that it names."""
        if place not in self._known:
            module = self.module(place[0])
            dump = _Dump(module, self)
            own = _digest(dump.text(module.definitions[place[1]]))
            whole = [(place[0], "")] if "" in module.definitions and place[1] else []
            self._known[place] = own, [*dump.reached, *whole]
        return self._known[place]

    def identity(self, starts: list[Place], notebook: str | None = None) -> Identity:
        """Of all definitions reached from some, these included, and of a notebook's text; none of plumbing."""
        reached: set[Place] = set()
        waiting = list(starts)
        while waiting:
            one = waiting.pop()
            if one not in reached and not self.module(one[0]).plumbing:
                reached.add(one)
                waiting += self.definition(one)[1]
        # what each definition names enters its hash, and what that names, so that two of one name are never exchanged
        deep = {one: self.definition(one)[0] for one in reached}
        for _ in reached:
            named = {one: [deep[part] for part in self.definition(one)[1] if part in deep] for one in reached}
            deep = {one: _digest(" ".join([self.definition(one)[0], *named[one]])) for one in reached}
        hashes: dict[str, list[str]] = {}
        for one in reached:
            hashes.setdefault(one[0], []).append(self.definition(one)[0])
        parts = {module: _digest(" ".join(sorted(hashes[module]))) for module in sorted(hashes)}
        told = [*(deep[one] for one in starts if one in deep), *sorted(deep.values())]
        if notebook is not None:
            parts = {"notebook": _digest(notebook), **parts}
            told = [parts["notebook"], *told]
        return Identity(_digest(" ".join(told)), parts)


@cache
def _read(name: str, file: Path, changed: int, size: int) -> Module:
    """Read again when the file was changed."""
    try:
        body = ast.parse(file.read_text(encoding="utf-8")).body
    except SyntaxError as error:
        raise ValueError(f"{file} is no Python: {error}") from error
    return Module(name, body, is_package=file.name == "__init__.py")


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
            if not isinstance(node.exc, ast.Call):
                return f"Raise({self.text(node.exc)})"
            given = [one for one in node.exc.args if not isinstance(one, ast.JoinedStr) and not _is_string(one)]
            return f"Raise({self.text(node.exc.func)},{self.text(given)},{self.text(node.exc.keywords)})"
        if isinstance(node, ast.Assert):
            return f"Assert({self.text(node.test)})"
        if isinstance(node, ast.Name | ast.Attribute) and (origin := self._origin(node)):
            return self._told(origin)
        parts = []
        if isinstance(node, SCOPES) and not isinstance(node, FUNCTIONS):
            parts.append(self.text(node.generators[0].iter))  # looked up outside
        for name, value in ast.iter_fields(node):
            if name == "annotation" and isinstance(node, ast.arg):
                continue
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
            if node.id in self._module.definitions and not self._module.free:
                return _joined(f".{self._module.name}", node.id)
            return self._module.imports.get(node.id)
        base = self._origin(node.value) if isinstance(node, ast.Attribute) else None
        if base is None or not base.startswith(".") or not isinstance(self._code.meant(base), str):
            return None
        return _joined(base, node.attr)

    def _told(self, origin: str) -> str:
        meant = self._code.meant(origin) if origin.startswith(".") else None
        if isinstance(meant, str):
            self.reach_all(meant)
            return "<a module>"
        if meant is None:  # of elsewhere, or an attribute that no statement of the module defines
            return f"<{origin.rpartition('.')[2] if origin.startswith('.') else origin}>"
        self.reached.append(meant)
        return f"<{meant[1]}>"

    def reach_all(self, name: str, before: frozenset[str] = frozenset()) -> None:
        """A module that is used as a whole: all that it defines, and what it imports from the package."""
        if name in before or self._code.module(name).plumbing:
            return
        module = self._code.module(name)
        self.reached += [(name, one) for one in sorted(module.definitions)]
        for _, origin in sorted(module.imports.items()):
            meant = self._code.meant(origin) if origin.startswith(".") else None
            if isinstance(meant, str):
                self.reach_all(meant, before | {name})
            elif meant:
                self.reached.append(meant)


def _bound(scope: ast.AST) -> set[str]:
    """The variables of a function or a comprehension: arguments, and what is assigned in it."""
    found, outside, waiting = set(), set(), list(ast.iter_child_nodes(scope))
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.arg):
            found.add(node.arg)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        elif isinstance(node, (ast.ExceptHandler, ast.MatchAs, ast.MatchStar, *DEFINING)):
            found.add(node.name)
        elif isinstance(node, ast.MatchMapping):
            found.add(node.rest)
        elif isinstance(node, ast.Global):
            outside.update(node.names)
        if not isinstance(node, (*SCOPES, ast.ClassDef)):
            waiting += ast.iter_child_nodes(node)
    return found - outside


def _is_string(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def _is_text(node: ast.AST) -> bool:
    """A docstring."""
    return isinstance(node, ast.Expr) and _is_string(node.value)
