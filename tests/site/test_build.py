"""The static book: what is staged, written in, built, and how it looks to a browser."""

import json
import os
import shutil
import subprocess
import sys
import textwrap

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from lib.paths import NOTEBOOKS, ROOT
from lib.press import chapters
from lib.site import build, front, ledger, notebooks, playground
from lib.site.build import stage
from lib.site.notebooks import SETUP, Published, SiteProblem, cell_problems, copy_notebooks

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome") or shutil.which("chromium-browser")


def code_cell(**changes):
    return {"cell_type": "code", "source": ["x"], "execution_count": 1, "outputs": [], "metadata": {}} | changes


PICTURE = [{"output_type": "display_data", "data": {"image/png": ""}}]
LABELLED = {"mystnb": {"figure": {"caption": "c", "name": "fig-c"}, "image": {"alt": "a"}}}


@pytest.mark.parametrize(
    ("cell", "problems"),
    [
        (code_cell(), []),
        ({"cell_type": "markdown", "source": ["x"]}, []),
        (code_cell(execution_count=None), ["never executed"]),
        (code_cell(execution_count=None, source=[]), []),
        (code_cell(outputs=[{"output_type": "error"}]), ["stored traceback"]),
        (code_cell(outputs=PICTURE, metadata=LABELLED), []),
        (code_cell(outputs=PICTURE), ["a figure without caption or name", "a figure without alt text"]),
    ],
)
def test_problems_of_kept_cells_are_found(cell, problems):
    assert cell_problems(cell) == problems


def test_a_book_with_a_stored_traceback_is_not_built(tmp_path, monkeypatch):
    notebook = json.loads((NOTEBOOKS / "01_phenomenon_in_a_minute.ipynb").read_text(encoding="utf-8"))
    notebook["cells"][1]["outputs"] = [{"output_type": "error", "ename": "E", "evalue": "", "traceback": []}]
    (tmp_path / "01_broken.ipynb").write_text(json.dumps(notebook), encoding="utf-8")
    monkeypatch.setattr(chapters, "NOTEBOOKS", tmp_path)
    monkeypatch.setattr(notebooks, "NOTEBOOKS", tmp_path)
    with pytest.raises(SiteProblem, match="01_broken, cell 1: stored traceback"):
        build.build()


@pytest.fixture
def small(tmp_path, monkeypatch):
    """A book of one chapter: the path of its notebook."""
    folder = tmp_path / "notebooks"
    folder.mkdir()
    for module in (notebooks, ledger, chapters):
        monkeypatch.setattr(module, "NOTEBOOKS", folder)
    monkeypatch.setattr("lib.site.explorers.write_in", lambda *_: None)  # they show the book's own chapters
    monkeypatch.setattr(front, "found", lambda claims: ["It was found."])  # which tells of the whole book's claims
    cells = [
        new_markdown_cell("# Tiny\n\nOne line: naïve."),
        new_code_cell(f"{SETUP}\nfrom lib.press import chapters", execution_count=1),
        new_code_cell("print(chapters.said)", execution_count=2),
    ]
    nbformat.write(new_notebook(cells=cells), folder / "01_tiny.ipynb")
    return folder / "01_tiny.ipynb"


HERE = Published("https://github.com/owner/book", "colab", "abc123")


def test_staging_writes_the_address_in_and_leaves_the_sources_alone(small, tmp_path):
    sources = [small, ROOT / "_config.yml", ROOT / "book" / "ledger.md", ROOT / "book" / "sweeps.md"]
    before = [path.read_bytes() for path in sources]
    stage(tmp_path / "source", HERE)
    assert [path.read_bytes() for path in sources] == before
    pages = {
        path.name: path.read_text(encoding="utf-8")
        for path in (tmp_path / "source").rglob("*.*")
        if path.suffix not in (".png", ".woff2")
    }
    assert '"https://github.com/owner/book", "abc123"' in "".join(
        json.loads(pages["01_tiny.ipynb"])["cells"][1]["source"]
    )
    assert "url: https://github.com/owner/book" in pages["_config.yml"]
    assert "colab_url" in pages["_config.yml"]
    assert "use_edit_page_button: true" in pages["_config.yml"]
    assert "use_issues_button: true" in pages["_config.yml"]
    assert 'class="lg-table"' in pages["ledger.md"]
    assert ledger.MARK not in pages["ledger.md"]
    assert json.loads(pages["claims.json"]) == []
    assert "@misc{cleanprioritybook" in pages["index.md"]
    assert not {front.FOUND_MARK, front.CITE_MARK} & set(pages["index.md"].splitlines())
    assert "| sweep | points |" in pages["sweeps.md"]
    assert build.SWEEPS_MARK not in pages["sweeps.md"]
    for name in ("playground.md", "index.md"):
        assert 'class="playground' in pages[name]
        assert not {playground.WHOLE_MARK, playground.SMALL_MARK} & set(pages[name].splitlines())
    assert "PLAYGROUND_DIGITS" in pages["digits.js"]


def test_notebooks_are_copied_as_they_are_where_no_address_is_known(small, tmp_path):
    copy_notebooks(tmp_path / "copies")
    assert (tmp_path / "copies" / small.name).read_bytes() == small.read_bytes()


def test_publishing_changes_the_first_line_of_the_setup_cell_alone(small, tmp_path):
    copy_notebooks(tmp_path / "copies", HERE)
    before, after = (nbformat.read(path, 4) for path in (small, tmp_path / "copies" / small.name))
    assert [cell for n, cell in enumerate(after.cells) if n != 1] == [
        cell for n, cell in enumerate(before.cells) if n != 1
    ]
    assert SETUP not in after.cells[1].source
    assert after.cells[1].source.endswith("\nfrom lib.press import chapters")
    assert "naïve" in (tmp_path / "copies" / small.name).read_text(encoding="utf-8")
    after.cells[1].source = before.cells[1].source
    assert nbformat.writes(after) + "\n" == small.read_text(encoding="utf-8")  # the layout is nbformat's own


def test_the_weekly_run_in_colabs_versions_publishes_with_what_it_installs(tmp_path):
    workflow = (ROOT / ".github" / "workflows" / "colab.yml").read_text(encoding="utf-8")
    script = textwrap.dedent(workflow.split('python -c "')[1].split('\n          "\n')[0])
    others = "altair click dask IPython jupyter_book jupytext papermill pydantic yaml"
    code = f"import sys\nfor name in '{others}'.split(): sys.modules[name] = None\n{script}"
    where = {"RUNNER_TEMP": str(tmp_path), "GITHUB_SHA": "abc123", "GITHUB_REPOSITORY": "owner/book"}
    where["GITHUB_SERVER_URL"] = "https://github.com"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=os.environ | where, check=True)
    published = tmp_path / "colab" / "07_width.ipynb"
    assert "https://github.com/owner/book" in published.read_text(encoding="utf-8")


def test_a_chapter_without_the_line_is_not_published(small, tmp_path):
    small.write_text(small.read_text(encoding="utf-8").replace("import sys;", "import sys ;"), encoding="utf-8")
    with pytest.raises(SiteProblem, match=r"01_tiny\.ipynb has no cell whose first line is 'import sys; "):
        copy_notebooks(tmp_path / "copies")


def test_every_chapter_has_the_line_that_publishing_replaces():
    """It passes once all notebooks begin with the line."""
    for name in chapters.names():
        cells = json.loads((NOTEBOOKS / f"{name}.ipynb").read_text(encoding="utf-8"))["cells"]
        found = [cell["cell_type"] for cell in cells if "".join(cell["source"]).splitlines()[:1] == [SETUP]]
        assert found == ["code"], name


@pytest.fixture
def published_code(small, tmp_path):
    """The code of the published chapter, with a repository on this disk in place of the address, and that."""
    copy_notebooks(tmp_path / "copies", HERE)
    code = "\n".join(cell.source for cell in nbformat.read(tmp_path / "copies" / small.name, 4).cells[1:])
    repository = tmp_path / "repository"
    (repository / "lib" / "press").mkdir(parents=True)
    (repository / "lib" / "press" / "chapters.py").write_text("said = 'hello'\n", encoding="utf-8")
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    for command in (["init", "-q"], ["add", "."], [*identity, "commit", "-qm", "a book"]):
        subprocess.run(["git", *command], cwd=repository, check=True)
    return code.replace(HERE.repository, repository.as_uri()).replace(HERE.commit, "HEAD"), repository


def python(code, folder, **env):
    """Run code in a folder, where neither this book nor anything else is installed."""
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | env
    command = [sys.executable, "-S", "-c", code]
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, encoding="utf-8")


def test_in_colab_a_published_chapter_fetches_the_code_once(published_code, tmp_path):
    code, repository = published_code
    (tmp_path / "colab").mkdir()
    for _ in range(2):
        done = python(code, tmp_path / "colab", COLAB_RELEASE_TAG="x")
        assert done.stdout == "hello\n", done.stderr
        repository.rename(repository.with_name("gone")) if repository.exists() else None


def test_elsewhere_a_published_chapter_finds_the_code_around_it_or_says_what_to_do(published_code, tmp_path):
    code, repository = published_code
    (repository / "notebooks" / "sweeps").mkdir(parents=True)
    for folder in (repository, repository / "notebooks", repository / "notebooks" / "sweeps"):
        assert python(code, folder).stdout == "hello\n"
    (tmp_path / "alone" / "of" / "it").mkdir(parents=True)
    done = python(code, tmp_path / "alone" / "of" / "it")
    assert "ImportError: No module named 'lib'. Run this notebook inside the book's repository" in done.stderr
    assert not (tmp_path / "alone" / "of" / "it" / "book").exists()


def test_an_address_that_is_none_is_refused():
    for address in ("github.com/a/b", "https://github.com/a", "https://example.org/a/b", "https://github.com/a/b; rm"):
        with pytest.raises(ValueError, match="must look like"):
            Published(address)
