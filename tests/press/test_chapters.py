"""The notebooks: their parameters, runs, twins and kept outputs."""

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import nbformat
import pytest

from lib import experiments, records
from lib.beyond import presets as beyond_presets
from lib.paper import presets
from lib.paths import NOTEBOOKS, ROOT
from lib.press import chapters, readings
from lib.press.chapters import execute, find, names, singles
from lib.press.claims import claims_of
from lib.press.parameters import Parameter, ParameterError, parameters
from lib.press.show import CLAIM, PROVENANCE
from lib.site.live import run_live
from lib.site.notebooks import SETUP, Published, cell_problems, copy_notebooks
from lib.sweeps.point import numbers_of

CHAPTERS = names()
NOTEBOOKS_ALL = [*CHAPTERS, *singles()]
# No verdict of these is known to be firm at smoke: `python -m tests.margins` has not been run for them since one rule
# judges all claims.
WITHOUT = [
    "10_deviations",
    "12_two_gradients",
    "13_hysteresis",
    "14_finite_size",
    "15_selective_boundaries",
    "16_running_sweeps",
    "17_wrong_labels",
    "18_when_to_stop",
    "19_earlier_notebook",
]
MARGINS = json.loads((ROOT / "tests" / "margins.json").read_text())
BIN = Path(sys.executable).parent
KERNEL = {"kernelspec": {"name": "python3", "display_name": "Python 3"}, "language_info": {"name": "python"}}


def firm_verdicts(name: str) -> dict[str, str]:
    """Of the claims of which any three of ten seeds give one verdict (tests/margins.json): which.

    A claim on groups of seeds has no threes, and counts for nothing; nor does what stays undecided.
    """
    return {
        id: verdict
        for id, found in MARGINS[name].items()
        for verdict in found
        if len(found) == 1 and found[verdict] > 1 and verdict != "undecided"
    }


@pytest.mark.live
@pytest.mark.parametrize("name", CHAPTERS)
def test_chapters_run_live_at_smoke_and_their_verdicts_are_firm(name):
    """What comes out alike for any few of many seeds does so in a live run of a few."""
    ran = run_live(name)
    assert ran.error == ""
    claims = claims_of(json.loads(ran.notebook.read_text(encoding="utf-8")))
    verdicts = {claim.id: claim.verdict for claim in claims}
    assert set(verdicts) == set(MARGINS[name]), "run `python -m tests.margins`"
    firm = firm_verdicts(name)
    assert bool(firm) == (name not in WITHOUT)
    assert {id: verdicts[id] for id in firm} == firm
    assert all(claim.live and claim.profile == "smoke" for claim in claims)


def test_the_firm_verdicts_are_worth_a_test():
    """Of the chapters that are not WITHOUT some verdict is firm, and some are that a claim does not hold."""
    firm = {name: firm_verdicts(name) for name in CHAPTERS}
    assert [name for name in CHAPTERS if not firm[name]] == WITHOUT
    assert sum("does not hold" in verdicts.values() for verdicts in firm.values()) >= 1
    assert firm["02_binary_dynamics"]["clean-keeps-improving"] == "does not hold"


@pytest.mark.parametrize("name", NOTEBOOKS_ALL)
def test_kept_notebooks_and_twins_are_the_same(name):
    assert chapters.drift(NOTEBOOKS / f"{name}.ipynb") == ""


def test_a_drifted_twin_is_found(tmp_path):
    for suffix in (".py", ".ipynb"):
        (tmp_path / f"n{suffix}").write_text((NOTEBOOKS / f"{CHAPTERS[0]}{suffix}").read_text())
    assert chapters.drift(tmp_path / "n.ipynb") == ""
    twin = tmp_path / "n.py"
    twin.write_text(twin.read_text().replace("lr=0.03", "lr=0.04"))
    assert "differ" in chapters.drift(tmp_path / "n.ipynb")
    twin.unlink()
    assert "no twin" in chapters.drift(tmp_path / "n.ipynb")


@pytest.mark.parametrize("name", NOTEBOOKS_ALL)
def test_kept_notebooks_are_whole(name):
    notebook = json.loads((NOTEBOOKS / f"{name}.ipynb").read_text())
    assert [problem for cell in notebook["cells"] for problem in cell_problems(cell)] == []
    text = json.dumps(notebook)
    assert "widget-view" not in text  # progress bars are no results
    assert not re.search(r"/(home|root|tmp|work|Users)/", text)


@pytest.mark.parametrize("name", CHAPTERS)
def test_every_claim_points_to_a_figure_of_its_chapter(name):
    notebook = json.loads((NOTEBOOKS / f"{name}.ipynb").read_text())
    figures = {cell["metadata"].get("mystnb", {}).get("figure", {}).get("name") for cell in notebook["cells"]}
    claims = claims_of(notebook)
    assert claims
    assert {claim.figure for claim in claims} <= figures
    assert all(claim.chapter == name for claim in claims)


def test_the_setup_cell_is_two_lines():
    for name in NOTEBOOKS_ALL:
        cells = json.loads((NOTEBOOKS / f"{name}.ipynb").read_text(encoding="utf-8"))["cells"]
        path, imports = "".join(cells[1]["source"]).split("\n")
        assert path == SETUP
        assert imports.startswith("from lib.press import ")


def test_captions_are_those_that_the_notebooks_show():
    """Each figure has its caption and alternative text in notebooks/captions, and no entry is left over."""
    for name in NOTEBOOKS_ALL:
        notebook = json.loads((NOTEBOOKS / f"{name}.ipynb").read_text(encoding="utf-8"))
        told = chapters.captions(NOTEBOOKS / f"{name}.ipynb")
        shown = {}
        for cell in notebook["cells"]:
            if figure := cell["metadata"].get("figure"):
                wanted = cell["metadata"]["mystnb"]
                shown[figure] = {"caption": wanted["figure"]["caption"], "alt": wanted["image"]["alt"]}
        assert shown == told


@pytest.mark.parametrize("name", NOTEBOOKS_ALL)
def test_every_figure_says_where_its_numbers_come_from(name):
    """Runs with device, date, seconds and code; or in words, for what the notebook itself computes."""
    cells = json.loads((NOTEBOOKS / f"{name}.ipynb").read_text(encoding="utf-8"))["cells"]
    drawn = [cell for cell in cells if any("image/png" in output.get("data", {}) for output in cell.get("outputs", []))]
    assert drawn
    for cell in drawn:
        told = [output for output in cell["outputs"] if PROVENANCE in output["metadata"]]
        assert len(told) == 1, cell["metadata"]["figure"]
        text = "".join(told[0]["data"]["text/markdown"])
        assert re.search(
            r"(Recorded|Trained live)[a-z ]* on .+; \d.*; code .+|this notebook|this chapter|ublished table", text
        )


@pytest.mark.parametrize("name", NOTEBOOKS_ALL)
def test_links_are_plain_and_lead_somewhere(name):
    """Roles such as {doc} and {cite} stand raw in Colab; a link to another chapter must lead to its file."""
    path = NOTEBOOKS / f"{name}.ipynb"
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    prose = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    assert not re.findall(r"\{(?:doc|cite|ref|numref|eq)[:\w]*\}`", prose)
    targets = [target for target in re.findall(r"\]\(([^)\s]+)\)", prose) if not target.startswith("https://")]
    assert [target for target in targets if not (path.parent / target).exists()] == []


RECORDED = {
    "01": "smoke",
    "02": "paper",
    "03": "paper",
    "04": "paper",
    "05": "paper",
    "06": "paper",
    "07": "paper",
    "08": "paper",
    "09": "paper",
    "16": "smoke",
}  # the profile each chapter opens with; else cpu


@pytest.mark.parametrize("name", CHAPTERS)
def test_the_book_opens_with_its_best_recorded_profile(name):
    """With three seeds or more, or no verdict; what is trained in the page itself, always live, may be at smoke."""
    kept = claims_of(json.loads((NOTEBOOKS / f"{name}.ipynb").read_text()))
    expected = RECORDED.get(name[:2], "cpu")
    assert {claim.profile for claim in kept if not claim.live} <= {expected}
    assert expected in {claim.profile for claim in kept}
    assert {claim.profile for claim in kept if claim.live} <= {"smoke"}
    # a claim on a spread is made of groups of seeds, or of all of them at once
    assert all(claim.seeds >= 3 or claim.verdict == "undecided" for claim in kept if claim.each == "seed")


def test_the_book_checks_every_part_of_the_paper():
    """Each figure, theorem, proposition, corollary, assumption, remark and claimed equation is some claim's source."""
    sources = " ".join(claim.source for name in CHAPTERS for claim in claims_of(json.loads(find(name).read_text())))
    figures = {
        int(number) for group in re.findall(r"Figs?\. ([\d, and]+)", sources) for number in re.findall(r"\d+", group)
    }
    assert figures == set(range(1, 14))
    for part in (
        "Theorem 3.1",
        "Corollary 3.2",
        "Assumption 4.1",
        "Prop. 4.2",
        "Remark 4.3",
        "Theorem 4.4",
        "Theorem 4.5",
    ):
        assert part in sources
    for equation in ("Eq. 8", "Eq. 9", "Eq. 10", "Eq. 12", "Eqs. 14a and 14b", "Eq. 16", "Eq. 30"):
        assert equation in sources


def papermill(cwd, *arguments):
    return subprocess.run(
        [BIN / "papermill", str(NOTEBOOKS / "02_binary_dynamics.ipynb"), "out.ipynb", "--no-progress-bar", *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        env=os.environ | {"CLEAN_PRIORITY_MODE": "replay"},
    )


@pytest.mark.slow
def test_papermill_runs_a_chapter_from_any_folder(tmp_path):
    done = papermill(tmp_path, "-p", "profile", "cpu")
    assert done.returncode == 0, done.stderr[-2000:]
    claims = claims_of(json.loads((tmp_path / "out.ipynb").read_text()))
    assert {(claim.profile, claim.live, claim.seeds) for claim in claims} == {("cpu", False, 10)}


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [("-p", "noise", "0.2"), ("-p", "noise_rate", "much"), ("-p", "profile", "huge")])
def test_papermill_with_a_wrong_parameter_stops_before_any_compute(tmp_path, arguments):
    done = papermill(tmp_path, *arguments)
    assert done.returncode != 0
    assert "ParameterError" in done.stderr
    assert "noise_rate: float = 0.4  # delta" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("how", ["python", "jupytext"])
def test_a_twin_runs_as_a_script_from_any_folder(tmp_path, how):
    twin = NOTEBOOKS / "01_phenomenon_in_a_minute.py"
    if how == "python":
        command, env = [sys.executable, str(twin)], {"MPLBACKEND": "agg"}
    else:
        command, env = (
            [BIN / "jupytext", "--to", "ipynb", "--execute", str(twin), "--output", str(tmp_path / "o.ipynb")],
            {},
        )
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=os.environ | env)
    assert done.returncode == 0, done.stderr[-2000:]
    if how == "python":
        assert "✔ holds" in done.stdout
    else:
        assert claims_of(json.loads((tmp_path / "o.ipynb").read_text()))


def collected(name: str, given: dict, output: Path) -> dict[str, list[float]]:
    """The table that a notebook of one condition shows when run so."""
    execute(find(name), given, output, progress=False)
    rows = numbers_of(json.loads(output.read_text())).to_pandas()
    return rows.sort_values("row").groupby("quantity")["value"].apply(list).to_dict()


@pytest.mark.slow
def test_one_training_shows_what_training_gives(tmp_path):
    given = {"noise_rate": 0.2, "width": 16, "lr": 0.05, "seed": 3, "seeds": 2}
    found = collected("single_run", given, tmp_path / "run.ipynb")
    wide = presets.wide("smoke", 16, 0.2)
    wanted = experiments.with_seeds(replace(wide, train=replace(wide.train, lr=0.05)), [3, 4])
    runs = records.obtain(wanted, keep=False, progress=False)
    assert found["seed"] == [3, 4]
    assert found["test error, early stop"] == [run.history["test_error"].min() for run in runs]
    assert found["test error, last epoch"] == [run.history["test_error"].iloc[-1] for run in runs]
    assert found["ratio, start"] == pytest.approx([4, 4], rel=0.2)  # Eq. 8


@pytest.mark.slow
def test_one_mix_is_that_of_a_scan_over_many(tmp_path):
    """Each network is independent of those it is trained with: one alone gives what the chapter's grid has there."""
    given = {"mix": 0.65, "refresh": 4, "noise_rate": 0.4, "width": 16, "seed": 1, "seeds": 2}
    found = collected("single_mix", given, tmp_path / "mix.ipynb")
    scan = beyond_presets.two_gradients("smoke", 0.4, 4)
    scan = replace(scan, model=replace(scan.model, widths=(16, 16)), mixes=(0.0, 0.65, 1.0), seed=1, seeds=2)
    read = readings.Scan(records.obtain([scan], keep=False, progress=False))
    assert found["test error"] == pytest.approx(read.at("test_error", 0.65), abs=0.02)
    assert found["dead units"] == pytest.approx(read.at("dead", 0.65), abs=0.1)
    assert found["staleness"] == pytest.approx([4 * 0.1 / (1 - 0.9)] * 2)


@pytest.mark.slow
def test_one_penalty_of_no_strength_has_no_effect_and_one_of_some_has(tmp_path):
    none = collected("single_penalty", {"strength": 0.0, "seeds": 2}, tmp_path / "none.ipynb")
    slopes = [name for name in none if name.startswith("slope")]
    assert slopes == ["slope, 3 v 8", "slope, 4 v 9", "slope, 5 v 6"]
    assert all(none[name] == [0, 0] for name in [*slopes, "accuracy", "share"])
    some = collected("single_penalty", {"strength": 3.0, "seeds": 2}, tmp_path / "some.ipynb")
    assert all(value < 0 for value in some["slope, 4 v 9"])


def test_a_notebook_of_one_condition_is_found_by_its_name():
    assert [find(Path(name).stem) for name in singles()] == [NOTEBOOKS / f"{name}.ipynb" for name in singles()]


HIDE = f"""
import sys
sys.meta_path = [f for f in sys.meta_path if "__editable__" not in repr(f)]
sys.path = [p for p in sys.path if p not in ("", {str(ROOT)!r})]
"""


def run_cells(path, cells, folder, **env):
    """Code cells of a notebook in a Python that has the book's packages but not the book, in ``folder``."""
    notebook = json.loads(path.read_text(encoding="utf-8"))
    code = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"][:cells]
    script = "\n\n".join([HIDE, *code, "import lib; print(lib.__file__)"])
    done = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | env
    return subprocess.run([sys.executable, "-"], input=script, cwd=folder, capture_output=True, text=True, env=done)


@pytest.mark.slow
def test_an_unmodified_published_notebook_runs_in_an_empty_folder_as_in_colab(tmp_path):
    """It fetches the book by itself, and draws its chapter from the records that come with it."""
    bare, folder = tmp_path / "bare.git", tmp_path / "colab"
    folder.mkdir()
    subprocess.run(["git", "clone", "-q", "--bare", str(ROOT), str(bare)], check=True)
    subprocess.run(["git", "-C", str(bare), "config", "uploadpack.allowAnySHA1InWant", "true"], check=True)
    commit = subprocess.run(
        ["git", "-C", str(bare), "rev-parse", "HEAD"], capture_output=True, text=True
    ).stdout.strip()
    address = "https://github.com/owner/book"
    copy_notebooks(tmp_path / "published", Published(address, commit=commit))
    colab = {
        "COLAB_RELEASE_TAG": "x",
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"url.file://{bare}.insteadOf",
        "GIT_CONFIG_VALUE_0": address,
        "MPLBACKEND": "agg",
    }
    for _ in range(2):  # and once more, as a reader who runs the cells again
        done = run_cells(tmp_path / "published" / "07_width.ipynb", None, folder, **colab)
        assert done.returncode == 0, done.stderr
        assert Path(done.stdout.splitlines()[-1]) == folder / "book" / "lib" / "__init__.py"
        assert "holds" in done.stdout


def test_a_published_notebook_says_what_to_do_where_there_is_no_book(tmp_path):
    copy_notebooks(tmp_path / "published", Published("https://github.com/owner/book"))
    done = run_cells(tmp_path / "published" / "07_width.ipynb", 1, tmp_path)
    assert done.returncode != 0
    assert "Run this notebook inside the book's repository" in done.stderr


def test_chapters_are_found_by_number_name_or_file():
    assert find("2") == find("02") == find("binary_dynamics") == find("notebooks/02_binary_dynamics.ipynb")
    with pytest.raises(ValueError, match="unknown chapter '99'; the book's own chapters are: 01_"):
        find("99")


@pytest.mark.parametrize("name", NOTEBOOKS_ALL)
def test_parameters_are_typed_commented_and_begin_with_the_profile(name):
    declared = parameters(find(name))
    assert declared[0].name == "profile"
    for parameter in declared:
        assert parameter.comment
        assert parameter.accepts(parameter.default)


@pytest.mark.parametrize("name", NOTEBOOKS_ALL)
def test_papermill_reads_the_same_parameters(name):
    from papermill import inspect_notebook

    theirs = inspect_notebook(str(find(name)))
    assert {(p["name"], p["help"]) for p in theirs.values()} == {(p.name, p.comment) for p in parameters(find(name))}


@pytest.mark.parametrize(
    ("annotation", "comment", "good", "bad"),
    [
        ("int", "", [0, -3], [1.0, True, "1", None]),
        ("float", "", [1, 0.5], [True, "0.5", None]),
        ("bool", "", [True], [1, "true", None]),
        ("str", "", ["x"], [1, None]),
        ("Optional[int]", "", [None, 3], [0.5, "3", False]),
        ("list[float]", "", [[], [1, 2.5]], [[True], "[0.1]", 0.1, ["a"]]),
        ("str", "one of a, b: or so", ["a", "b"], ["c", "", 1]),
    ],
)
def test_types_are_checked(annotation, comment, good, bad):
    parameter = Parameter("p", annotation, None, comment)
    assert all(parameter.accepts(value) for value in good)
    assert not any(parameter.accepts(value) for value in bad)


@pytest.mark.parametrize(
    ("annotation", "text", "value"),
    [
        ("float", "0.1", 0.1),
        ("float", ".2", 0.2),
        ("Optional[int]", "None", None),
        ("bool", "true", True),
        ("bool", "True", True),
        ("str", "cpu", "cpu"),
        ("str", "12", "12"),
        ("list[float]", "[0.1, 1]", [0.1, 1]),
        ("int", "many", "many"),
    ],
)
def test_values_typed_in_a_terminal_are_read_by_type(annotation, text, value):
    assert Parameter("p", annotation, None, "").read(text) == value


def test_a_failing_cell_is_named_and_its_notebook_kept(tmp_path):
    import nbformat

    notebook = nbformat.v4.new_notebook(metadata=KERNEL)
    notebook.cells = [
        nbformat.v4.new_code_cell('profile: str = "smoke"  # any', metadata={"tags": ["parameters"]}),
        nbformat.v4.new_code_cell("print('before')\n1 / 0"),
    ]
    path, output = tmp_path / "broken.ipynb", tmp_path / "out" / "broken.ipynb"
    nbformat.write(notebook, path)
    with pytest.raises(chapters.ChapterFailed, match="ZeroDivisionError") as caught:
        execute(path, {"profile": "x"}, output, progress=False)
    assert not output.exists()
    assert "before" in caught.value.notebook.read_text()
    assert [p.name for p in output.parent.iterdir()] == ["broken.failed.ipynb"]
    with pytest.raises(ParameterError, match="no parameter 'profil'"):
        execute(path, {"profil": "x"}, output)


@pytest.mark.slow
def test_chapters_run_together_come_in_order_and_one_failure_leaves_the_others(tmp_path):
    import nbformat

    jobs = []
    for number, last in enumerate(("pass", "1 / 0", "pass")):
        notebook = nbformat.v4.new_notebook(metadata=KERNEL)
        notebook.cells = [
            nbformat.v4.new_code_cell('profile: str = "smoke"  # any', metadata={"tags": ["parameters"]}),
            nbformat.v4.new_code_cell(last),
        ]
        nbformat.write(notebook, tmp_path / f"{number}.ipynb")
        jobs.append(chapters.Job(tmp_path / f"{number}.ipynb", {"profile": "x"}, tmp_path / "out" / f"{number}.ipynb"))
    outcomes = list(chapters.execute_many(jobs, 2))
    assert [job for job, _ in outcomes] == jobs
    assert [outcome for _, outcome in outcomes[::2]] == [[], []]
    failure = outcomes[1][1]
    assert isinstance(failure, chapters.ChapterFailed)
    assert "ZeroDivisionError" in str(failure)
    assert failure.notebook.exists()
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["0.ipynb", "1.failed.ipynb", "2.ipynb"]


def nbval(tmp_path, source, *, count=1, outputs=None, metadata=None):
    """Nbval's verdict on a notebook of one cell with these kept outputs."""
    import nbformat

    notebook = nbformat.v4.new_notebook(metadata=KERNEL)
    cell = nbformat.v4.new_code_cell(source, metadata=metadata or {}, execution_count=count)
    cell.outputs = [nbformat.from_dict(output) for output in outputs or []]
    notebook.cells = [cell]
    path = tmp_path / "kept.ipynb"
    nbformat.write(notebook, path)
    command = [sys.executable, "-m", "pytest", "-q", "--nbval", "-p", "tests.nbval_numbers", "--rootdir", str(tmp_path)]
    return subprocess.run([*command, "-c", os.devnull, str(path)], cwd=ROOT, capture_output=True, text=True)


def stream(text):
    import nbformat

    return [nbformat.v4.new_output("stream", name="stdout", text=text)]


@pytest.mark.slow
def test_nbval_passes_on_what_is_the_same_within_tolerance(tmp_path):
    done = nbval(tmp_path, "print('error 0.1234 at epoch 7')", outputs=stream("error 0.1234 at epoch 7\n"))
    assert done.returncode == 0, done.stdout
    near = nbval(
        tmp_path, "print('error 0.13 [0.1, 0.2]')", outputs=stream("error 0.12 [0.1, 0.2]\n"),
        metadata={"nbval": {"tol": [0, 0.02]}},
    )  # fmt: skip
    assert near.returncode == 0, near.stdout
    code = nbval(
        tmp_path, "print(\"2 s in all; code 0123ab (older code).\")",
        outputs=stream("2 s in all; code 4567cd and 89ef (made or checked by today's code).\n"),
    )  # fmt: skip
    assert code.returncode == 0, code.stdout  # which code made a number is a remark, never a failure


@pytest.mark.slow
@pytest.mark.parametrize(
    ("case", "message"),
    [
        ({"source": "print('error 0.1235')", "outputs": stream("error 0.1234\n")}, "Cell outputs differ"),
        ({"source": "print('it holds')", "outputs": stream("it does not hold\n")}, "Cell outputs differ"),
        (
            {"source": "print(0.15)", "outputs": stream("0.12\n"), "metadata": {"nbval": {"tol": [0, 0.02]}}},
            "Cell outputs differ",
        ),
        ({"source": "print(1)", "count": None}, "never executed"),
        (
            {
                "source": "print(1)",
                "outputs": [{"output_type": "display_data", "data": {}, "metadata": {CLAIM: {"live": False}}}],
                "metadata": {"nbval": {"tol": [0, 0.02]}},
            },
            "a tolerance, although its claims are replayed",
        ),
        ({"source": "print(1)"}, "Unexpected output fields"),
        (
            {
                "source": "print(1)",
                "outputs": [{"output_type": "error", "ename": "E", "evalue": "v", "traceback": []}],
            },
            "Missing output fields",
        ),
    ],
)
def test_nbval_fails_on_drift_missing_outputs_and_tracebacks(tmp_path, case, message):
    done = nbval(tmp_path, **case)
    assert done.returncode == 1
    assert message in done.stdout


def test_names_are_not_guessed(tmp_path):
    for name in ("1.5", "/no/such/02_binary_dynamics.ipynb"):
        with pytest.raises(ValueError, match=r"the book.s own chapters are: 01_"):
            chapters.find(name)
    assert chapters.find("02_binary_dynamics.ipynb") == chapters.find("2")
    with pytest.raises(ValueError, match="'single' may mean sweeps/single_mix, sweeps/single_penalty"):
        chapters.twins(["single"])
    assert [path.stem for path in chapters.twins(["06", "single_run"])] == ["06_kernel_machines", "single_run"]


def test_a_value_with_a_path_in_it_names_a_file_and_no_folder(tmp_path):
    (job,) = chapters.jobs(["13"], "smoke", [("outputs", "/tmp/x")], tmp_path)
    assert job.output.parent == tmp_path


def test_a_kernel_that_dies_is_a_failure_of_its_chapter_and_the_others_go_on(tmp_path):
    paths = []
    for name, code in (("a", "import os; os._exit(1)"), ("b", "x = 1")):
        cells = [nbformat.v4.new_code_cell("profile = 'smoke'", metadata={"tags": ["parameters"]})]
        cells.append(nbformat.v4.new_code_cell(code))
        paths.append(tmp_path / f"{name}.ipynb")
        nbformat.write(nbformat.v4.new_notebook(metadata=KERNEL, cells=cells), paths[-1])
    given = [chapters.Job(path, {}, tmp_path / "out" / path.name) for path in paths]
    outcomes = [outcome for _, outcome in chapters.execute_many(given, 1)]
    assert isinstance(outcomes[0], chapters.ChapterFailed)
    assert "DeadKernelError" in str(outcomes[0])
    assert outcomes[0].notebook.is_file()  # up to there
    assert outcomes[1] == []


def test_no_wrong_labels_are_refused_before_anything_runs():
    for name in ("noise_rate", "trained_rate"):
        given = {"profile": "smoke", "seeds": 3, "fresh": False, "device": "cpu", "width": None}
        given |= {"noise_rate": 0.3, "trained_rate": 0.4} | {name: 0.0}
        with pytest.raises(ValueError, match=f"{name} is 0"):
            chapters.open_chapter("04_sample_gradients", given, lambda profile: {})
