"""What a sweep's YAML means, and that what is wrong with it is named."""

import pytest

from lib.paths import NOTEBOOKS
from lib.press import chapters
from lib.press.parameters import ParameterError
from lib.sweeps.grid import SweepError, find_sweep, load_sweep, sweep_names


@pytest.mark.parametrize(
    ("grid", "expected"),
    [
        ("product: {x: [1, 2], n: [3, 4]}", [(1, 3), (1, 4), (2, 3), (2, 4)]),
        ("zip: {x: [1, 2], n: [3, 4]}", [(1, 3), (2, 4)]),
        ("list: [{x: 1, n: 3}, {x: 2, n: 9}]", [(1, 3), (2, 9)]),
        ("{product: {x: [0.5]}, seeds: {parameter: n, count: 3, first: 2}}", [(0.5, 2), (0.5, 3), (0.5, 4)]),
        ("{zip: {x: [1, 2]}, list: [{n: 1}, {n: 2}]}", [(1, 1), (1, 2), (2, 1), (2, 2)]),
    ],
)
def test_a_grid_means_its_points(tiny, grid, expected):
    one = tiny.sweep(f"parameters: {{kind: b}}\ngrid: {grid if grid[0] == '{' else '{' + grid + '}'}\n")
    assert [(point["x"], point["n"]) for point in one.points] == expected
    assert {point["kind"] for point in one.points} == {"b"}


def test_seeds_are_the_parameter_seed(tiny):
    tiny.write(parameters="seed: int = 0  # which")
    assert tiny.sweep("grid: {seeds: 3}\n").points == ({"seed": 0}, {"seed": 1}, {"seed": 2})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("notebook: nowhere\ngrid: {product: {x: [1]}}", "unknown chapter 'nowhere'; the book's own chapters are: 01_"),
        ("notebook: tiny.ipynb\ngrid: {product: {y: [1]}}", r"no parameter 'y'. It has:\n  x: float = 1.0  # a number"),
        ("notebook: tiny.ipynb\ngrid: {product: {x: [1, much]}}", r"x cannot be 'much' \(str\)"),
        ("notebook: tiny.ipynb\ngrid: {product: {x: [1e-3]}}", "YAML reads 1e-3 as text: write 0.001"),
        ("notebook: tiny.ipynb\ngrid: {product: {n: [0.5]}}", r"n cannot be 0.5 \(float\)"),
        ("notebook: tiny.ipynb\ngrid: {product: {kind: [c]}}", "kind cannot be 'c'"),
        ("notebook: tiny.ipynb\ngrid: {product: {x: [2020-01-01]}}", "x cannot be datetime.date"),
        ("notebook: tiny.ipynb\ngrid: {product: {x: [.nan]}}", "x cannot be nan"),
        ("notebook: tiny.ipynb\ngrid: {product: {x: []}}", "the grid is empty: product has no value for 'x'"),
        ("notebook: tiny.ipynb\ngrid: {list: []}", "the grid is empty: list"),
        ("notebook: tiny.ipynb\ngrid:", "the grid is empty; it needs one of product, zip, list, seeds"),
        ("notebook: tiny.ipynb", "the file lacks grid; it has: title, notebook, parameters"),
        (
            "notebook: tiny.ipynb\ngrid: {products: {x: [1]}}",
            "unknown 'products' in grid; allowed: product, zip, list, seeds",
        ),
        ("notebook: tiny.ipynb\ngird: {x: [1]}\ngrid: {}", "unknown 'gird' in the file; allowed"),
        ("notebook: tiny.ipynb\ngrid: {zip: {x: [1], n: [1, 2]}}", "of one length, got {'x': 1, 'n': 2}"),
        ("notebook: tiny.ipynb\ngrid: {product: {x: 1}}", "product needs a list for 'x', not 1"),
        ("notebook: tiny.ipynb\ngrid: {seeds: 0}", "seeds needs a count of 1 to 1,000,000"),
        ("notebook: tiny.ipynb\ngrid: {seeds: 2}", "no parameter 'seed'"),
        ("notebook: tiny.ipynb\nparameters: {x: 1}\ngrid: {product: {x: [1]}}", "'x' is given in two places"),
        ("notebook: tiny.ipynb\ngrid: {product: {x: [1], x: [2]}}", "x is given twice"),
        ("notebook: [tiny.ipynb\ngrid: {}", "is no YAML"),
        ("- 1", "must be lines of"),
        (
            "notebook: tiny.ipynb\ngrid: {product: {x: [1]}}\ncollect: {tables: all}",
            "true, false or a list of names, not 'all'",
        ),
        (
            "notebook: tiny.ipynb\ngrid: {product: {x: [1]}}\nfigure: {name: a}",
            "figure lacks quantity, x; it has: name",
        ),
        (
            "notebook: tiny.ipynb\ngrid: {product: {x: [1]}}\nfigure: {name: a, quantity: b, x: z}",
            "the figure's x must be one of x",
        ),
        (
            "notebook: tiny.ipynb\ngrid: {product: {x: [1], n: [1, 2, 3, 4, 5, 6, 7]}}\n"
            "figure: {name: a, quantity: b, x: x, by: n}",
            "the figure has room for 6 curves; n has more values",
        ),
        (
            "notebook: tiny.ipynb\ngrid: {product: {x: [1]}}\nfigure: {name: a, quantity: b, x: x, xscale: lin}",
            "xscale must be linear or log, not 'lin'",
        ),
        ("notebook: tiny.ipynb\ngrid: {product: {x: [!!python/object/apply:os.getcwd []]}}", "is no YAML"),
    ],
)
def test_what_is_wrong_with_a_sweep_is_named_before_anything_starts(tiny, text, message):
    path = tiny.folder / "wrong.yml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises((SweepError, ParameterError), match=message):
        load_sweep(path)


def test_a_parameter_may_not_be_called_like_a_column(tiny):
    tiny.write(parameters="value: int = 0  # x")
    with pytest.raises(SweepError, match="columns of its own called value"):
        tiny.sweep("grid: {product: {value: [1]}}\n")


@pytest.mark.parametrize("name", sweep_names())
def test_the_books_own_sweeps_are_right(name):
    one = load_sweep(find_sweep(name))
    assert len(one.points) > 1
    assert str(one.notebook.relative_to(NOTEBOOKS).with_suffix("")) in [*chapters.names(), *chapters.singles()]
    assert one.merged == 0
    assert one.figure
    assert one.figure.caption
    assert one.figure.alt
