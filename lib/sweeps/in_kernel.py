"""Told to an IPython kernel before a notebook's first cell: what it shows as a pandas table travels as numbers, too.

A table's HTML has six digits of each number and leaves rows out. This file's
text runs in kernels that need not have the book; it imports nothing of it.
"""

NO_NUMBERS = True
MIME = "application/vnd.dataresource+json"  # the Table Schema of frictionlessdata.io, which pandas writes too
ROWS = 10_000  # of a table; one that has more is no result that somebody looks at
NOTHING = {"schema": {"fields": [{"name": "index", "type": "integer"}], "primaryKey": ["index"]}, "data": []}
TABLES = ("pandas.core.frame.DataFrame", "pandas.core.series.Series", "pandas.DataFrame", "pandas.Series")


def told(table):
    """A pandas table as Table Schema; of one that is too long, or cannot be told, that it was shown."""
    try:
        return _told(table) if len(table) <= ROWS else dict(NOTHING, left_out=len(table))
    except Exception:  # of whatever a table holds: no reason for its notebook to fail
        return dict(NOTHING)


def _told(table):
    """Its index is in a field that no column has: ``index``, or that with a number."""
    named = hasattr(table, "columns")
    names = _apart([_word(name) for name in table.columns] if named else [_word(table.name, "value")])
    key = _apart([*names, "index"])[-1]
    columns = [table.iloc[:, number] for number in range(len(names))] if named else [table]
    index = [_word(name) for name in table.index.tolist()]
    plain = type(table.index).__name__ == "RangeIndex"
    fields = [{"name": key, "type": "integer" if plain else "string"}]
    rows = [{key: number if plain else name} for number, name in enumerate(index)]
    for name, column in zip(names, columns):  # noqa: B905 - a kernel's Python may be an old one
        values = [_number(value) for value in column.tolist()]
        if any(value is not None for value in values):
            fields.append({"name": name, "type": "number"})
            for row, value in zip(rows, values):  # noqa: B905
                row[name] = value
    return {"schema": {"fields": fields, "primaryKey": [key]}, "data": rows}


def _apart(names):
    """Names of which each differs from those before it: a second ``v`` is ``v (2)``."""
    found = []
    for name in names:
        number, one = 1, name
        while one in found:
            number += 1
            one = "%s (%d)" % (name, number)  # noqa: UP031 - a kernel's Python may be an old one
        found.append(one)
    return found


def _word(name, default="None"):
    if isinstance(name, tuple):
        return ", ".join(str(part) for part in name)
    return default if name is None else str(name)


def _number(value):
    """A finite number, or None."""
    try:
        value = float(value) if isinstance(value, (bool, int, float)) or hasattr(value, "dtype") else None
    except (TypeError, ValueError, OverflowError):
        return None
    return value if value is not None and value - value == 0 else None


def listen(shell):
    """Let a shell write such tables beside what it shows anyway."""
    from IPython.core.formatters import JSONFormatter

    formatter = JSONFormatter(parent=shell.display_formatter)
    formatter.format_type, formatter.print_method = MIME, "_repr_no_such_"
    for name in TABLES:
        module, _, kind = name.rpartition(".")
        formatter.for_type_by_name(module, kind, told)
    shell.display_formatter.formatters[MIME] = formatter
    if MIME not in shell.display_formatter.active_types:
        shell.display_formatter.active_types = [*shell.display_formatter.active_types, MIME]
