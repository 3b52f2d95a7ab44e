import ast
import errno
import json
import os
import shutil
import subprocess
import sys
import textwrap
from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from lib import experiments, records
from lib.beyond.scans import DualScan
from lib.beyond.two_gradients import DualConfig
from lib.checkpoint import Checkpoint
from lib.data import DataConfig
from lib.experiments import Experiment, with_seeds
from lib.hardware import processor
from lib.models import ModelConfig
from lib.noise import NoiseConfig
from lib.paper.angles import BatchDirections, CircleAngles, PairAngles, StartAngles
from lib.paper.balanced import BalancedKernelMachine
from lib.paper.kernels import KernelMachine
from lib.paths import RECORDS, ROOT
from lib.press.verify import checkout, verify
from lib.records import KINDS, RecordDamaged, Store, experiment_from, obtain, read_record, write_record
from lib.runs import Runs
from lib.train import Machine, TrainConfig, TrainingDiverged


@pytest.fixture
def trained(quick, own_data):
    return records.run_now(quick, resume=False, progress=False)


@pytest.fixture
def no_training(monkeypatch):
    """From here on, training anything is an error."""

    def fail(*_, **__):
        pytest.fail("trained, although it was recorded")

    monkeypatch.setattr(experiments, "run", fail)


def test_the_key_of_a_known_experiment_never_changes():
    """Records are found by it: if this fails, all of them are lost."""
    experiment = Experiment(
        DataConfig("mnist", classes=(7, 9)), NoiseConfig(0.4), ModelConfig(), TrainConfig(lr=0.1, epochs=400)
    )
    assert experiment.key == "b09c4e7a055b67d8"
    assert experiments.as_dict(experiment) == {
        "data": {"name": "mnist", "classes": [7, 9]},
        "noise": {"noise_rate": 0.4},
        "model": {},
        "train": {"lr": 0.1, "epochs": 400},
    }


def test_every_setting_changes_the_key(quick):
    others = [
        replace(quick, seed=1),
        replace(quick, noise=NoiseConfig(0.3)),
        replace(quick, data=replace(quick.data, train_size=100)),
        replace(quick, model=ModelConfig((32, 32), init="ntk")),
        replace(quick, model=ModelConfig((32, 32), antisymmetric=True)),
        replace(quick, train=replace(quick.train, lr=0.02)),
        replace(quick, train=replace(quick.train, batch_size=None)),
        replace(quick, observe=replace(quick.observe, watched=0)),
    ]
    assert len({experiment.key for experiment in [quick, *others]}) == 9


def test_settings_give_the_experiment_back(quick):
    for experiment in (quick, replace(quick, train=replace(quick.train, batch_size=None), seed=3)):
        text = json.dumps(experiments.as_dict(experiment))
        assert experiment_from(json.loads(text)) == experiment


def test_a_run_is_made_once_and_replayed_bit_by_bit(quick, own_data, request):
    first = obtain([quick], progress=False)
    assert first[0].live
    request.getfixturevalue("no_training")
    again = obtain([quick])
    assert not again[0].live
    pd.testing.assert_frame_equal(first[0].history, again[0].history, check_exact=True)
    assert again[0].provenance == first[0].provenance
    assert again.provenance_line().startswith("Recorded on")


def test_a_changed_setting_never_finds_an_old_record(quick, own_data):
    obtain([quick], progress=False)
    other = replace(quick, noise=NoiseConfig(0.3))
    assert not records.recorded([other])
    assert obtain([other], progress=False)[0].live


def test_one_and_one_point_nought_are_one_setting(quick):
    whole = [replace(quick, train=replace(quick.train, lr=lr)).key for lr in (1, 1.0)]
    assert whole[0] == whole[1]


def test_everything_is_checked_before_the_first_run_is_trained(quick, own_data, no_training):
    too_many = replace(quick, data=replace(quick.data, train_size=10_000))
    with pytest.raises(ValueError, match="10000 training images asked for"):
        records.obtain_groups({"good": [quick], "bad": [too_many]})
    with pytest.raises(ValueError, match="flips all"):
        obtain([quick, replace(quick, noise=NoiseConfig(0.999))])


def test_a_device_that_is_not_there_is_named_even_where_all_is_recorded(quick, own_data, monkeypatch):
    obtain([quick], progress=False)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(ValueError, match="sees no CUDA card"):
        obtain([quick], machine=Machine("cuda"))


def test_a_run_without_noise_has_gaps_and_is_read_back_all_the_same(quick, own_data):
    clean = replace(quick, noise=NoiseConfig(0.0))
    first = obtain([clean], progress=False)[0]
    assert first.history["noisy_error"].isna().all()
    again = obtain([clean])[0]
    assert not again.live
    pd.testing.assert_frame_equal(first.history, again.history, check_exact=True)


def test_an_unknown_mode_is_refused(quick, own_data, monkeypatch):
    monkeypatch.setenv("CLEAN_PRIORITY_MODE", "recrod")
    with pytest.raises(ValueError, match="'recrod'; allowed: '', 'record', 'replay'"):
        obtain([quick])


def test_fresh_trains_anew_and_keep_false_leaves_no_trace(quick, own_data):
    obtain([quick], keep=False, progress=False)
    assert not records.recorded([quick])
    obtain([quick], progress=False)
    assert obtain([quick], fresh=True, progress=False)[0].live


def test_modes_record_into_the_book_or_only_replay(quick, own_data, tmp_path, monkeypatch):
    monkeypatch.setattr(records, "RECORDS", tmp_path / "book")
    monkeypatch.setenv("CLEAN_PRIORITY_MODE", "replay")
    with pytest.raises(records.NotRecorded, match=quick.slug):
        obtain([quick])
    monkeypatch.setenv("CLEAN_PRIORITY_MODE", "record")
    obtain([quick], progress=False)
    assert Store(tmp_path / "book").has(quick)
    monkeypatch.setenv("CLEAN_PRIORITY_MODE", "replay")
    assert not obtain([quick])[0].live


def test_a_check_of_the_numbers_that_stood_there_before_counts_for_nothing(trained, tmp_path):
    store = Store(tmp_path)
    store.put(replace(trained, provenance=trained.provenance | {"identity": "0123456789ab"}))
    key, made = trained.experiment.key, trained.provenance["date"]
    for date, state in (("2000-01-01", "older code"), (made, "checked by today's code")):
        store.note_check(key, {"identity": trained.code, "date": date})
        assert store.get(trained.experiment).state == state
        assert store.run(store.path(trained.experiment)).state == state


@pytest.mark.parametrize("mode", ["", "record"])
def test_a_checkpoint_stays_until_the_record_is_on_disk(mode, quick, own_data, tmp_path, monkeypatch):
    monkeypatch.setattr(records, "RECORDS", tmp_path / "book")
    monkeypatch.setenv("CLEAN_PRIORITY_MODE", mode)
    save = Checkpoint.save
    monkeypatch.setattr(Checkpoint, "save", lambda self, state: setattr(self, "_saved", -1e9) or save(self, state))
    left = own_data / "checkpoints" / f"{quick.slug}.pt"

    def full(*_):
        raise records.RecordingFailed("no space left")

    with monkeypatch.context() as disk:
        disk.setattr(Store, "put", full)
        with pytest.raises(records.RecordingFailed) if mode else nullcontext():
            obtain([quick], progress=False)
    assert left.exists()
    again = obtain([quick], progress=False)[0]
    assert not left.exists()
    assert again.history.equals(records.run_now(quick, resume=False, progress=False).history)


def test_recording_takes_over_what_the_reader_trained(quick, own_data, tmp_path, monkeypatch):
    run = obtain([quick], progress=False)[0]
    monkeypatch.setattr(records, "RECORDS", tmp_path / "book")
    monkeypatch.setenv("CLEAN_PRIORITY_MODE", "record")
    assert not obtain([quick])[0].live
    pd.testing.assert_frame_equal(Store(tmp_path / "book").get(quick).history, run.history, check_exact=True)


def test_provenance_says_what_made_the_numbers(trained, quick):
    assert trained.provenance["settings"] == experiments.as_dict(quick)
    assert {"device", "date", "seconds", "versions", "identity", "parts", "commit"} <= set(trained.provenance)
    assert trained.state == "today's code"
    line = Runs([trained]).provenance_line()
    assert trained.provenance["device"] in line
    assert "; 1 seed, " in line


def test_provenance_tells_which_code_made_or_checked_the_numbers(trained):
    older = replace(trained, provenance=trained.provenance | {"identity": "0123456789ab"})
    checked = replace(older, check={"identity": trained.code})
    for some, told in (
        ([trained], "(today's code)"),
        ([checked], "(checked by today's code)"),
        ([trained, checked], "(made or checked by today's code)"),
        ([older], "(older code)"),
    ):
        assert Runs(some).provenance_line().endswith(told)


def test_provenance_counts_different_seeds_and_runs_where_a_seed_was_run_again(trained, quick):
    def line(*experiments) -> str:
        return Runs(replace(trained, experiment=one) for one in experiments).provenance_line()

    other = replace(quick, noise=replace(quick.noise, noise_rate=0.2))
    many = DualScan(
        data=DataConfig("digits"), model=ModelConfig((8,)), dual=DualConfig(1), seeds=4, epochs=1, milestones=(),
        noise_rates=(0.4,), mixes=(0.2,), seed=2,
    )  # fmt: skip
    assert "; 3 seeds, " in line(*with_seeds(quick, 3))
    assert "; 6 runs of 3 seeds, " in line(*with_seeds(quick, 3), *with_seeds(other, 3))
    assert "; 4 runs of 3 seeds, " in line(*with_seeds(quick, 3), other)
    assert "; 2 runs of 1 seed, " in line(quick, other)
    assert "; 4 seeds, " in line(many)
    assert "; 6 seeds, " in line(many, *with_seeds(quick, 2))  # seeds 2 to 5, and 0 and 1
    assert "; 7 runs of 6 seeds, " in line(many, *with_seeds(quick, 3))


@pytest.mark.parametrize("damage", ["truncate", "flip", "empty", "other"])
def test_a_damaged_record_is_moved_aside_recomputed_and_said_so(quick, own_data, damage, capsys):
    expected = obtain([quick], progress=False)[0].history
    path = Store(own_data / "records").path(quick)
    content = bytearray(path.read_bytes())
    if damage == "truncate":
        content = content[: len(content) // 2]
    elif damage == "flip":
        for part in range(1, 9):  # a single one may fall on a byte that says nothing
            content[len(content) * part // 9] ^= 4
    elif damage == "empty":
        content = b""
    else:
        other = with_seeds(quick, [5])[0]
        obtain([other], progress=False)
        content = Store(own_data / "records").path(other).read_bytes()
    path.write_bytes(content)
    capsys.readouterr()
    run = obtain([quick], progress=False)[0]
    assert run.live
    pd.testing.assert_frame_equal(run.history, expected, check_exact=True)
    assert "moved to" in capsys.readouterr().out
    assert path.with_name(path.name + ".damaged-1").exists()
    assert not obtain([quick])[0].live


def test_a_record_that_cannot_be_opened_now_is_not_called_damaged(quick, own_data, monkeypatch):
    obtain([quick], progress=False)
    store = Store(own_data / "records")

    def none_left(*_):
        raise OSError(errno.EMFILE, "Too many open files")

    with monkeypatch.context() as patched:
        patched.setattr("pathlib.Path.read_bytes", none_left)
        with pytest.raises(OSError, match="Too many open files"):
            store.get(quick)
    assert [path.name for path in store.folder.iterdir() if ".damaged" in path.name] == []
    assert store.get(quick) is not None


def test_what_is_no_record_does_not_count_as_recorded(quick, own_data):
    obtain([quick], progress=False)
    assert records.recorded([quick])
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 15000\n"
    Store(own_data / "records").path(quick).write_text(pointer)
    assert not records.recorded([quick])


def test_changed_numbers_or_provenance_do_not_pass_the_checksum(trained, tmp_path):
    import pyarrow.parquet as pq

    path = tmp_path / "r.parquet"
    write_record(path, trained.history, trained.provenance)
    table = pq.read_table(path)
    meta = json.loads(table.schema.metadata[b"provenance"])
    pq.write_table(table.replace_schema_metadata({b"provenance": json.dumps(meta | {"device": "a better one"})}), path)
    with pytest.raises(RecordDamaged, match="altered"):
        read_record(path)
    write_record(path, trained.history, trained.provenance)
    changed = trained.history.assign(test_error=0.0)
    altered = pq.read_table(path).schema.metadata
    import pyarrow as pa

    pq.write_table(pa.Table.from_pandas(changed, preserve_index=False).replace_schema_metadata(altered), path)
    with pytest.raises(RecordDamaged, match="altered"):
        read_record(path)


FULL_DISK = """
import resource, sys
from pathlib import Path
import pandas as pd
from lib.records import read_record, write_record, RecordingFailed
path = Path(sys.argv[1])
history, provenance = read_record(path)
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))  # the kernel refuses to write more: as a full disk does
import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
try:
    write_record(path, pd.concat([history] * 50), provenance)
except RecordingFailed as failure:
    print("refused:", failure)
"""


def test_a_full_disk_leaves_the_old_record_intact(trained, tmp_path):
    path = tmp_path / "r.parquet"
    write_record(path, trained.history, trained.provenance)
    before = path.read_bytes()
    done = subprocess.run([sys.executable, "-c", FULL_DISK, str(path)], cwd=ROOT, capture_output=True, text=True)
    assert "refused: r.parquet could not be written" in done.stdout, done.stderr
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir() if p.suffix == ".parquet"] == ["r.parquet"]


def test_a_reader_whose_disk_is_full_still_gets_the_run(quick, own_data, monkeypatch, capsys):
    def full(*_):
        raise records.RecordingFailed("no space left")

    monkeypatch.setattr(Store, "put", full)
    assert len(obtain([quick], progress=False)[0].history) == 7
    assert "goes on without a record" in capsys.readouterr().out
    monkeypatch.setenv("CLEAN_PRIORITY_MODE", "record")
    monkeypatch.setattr(records, "RECORDS", own_data)
    with pytest.raises(records.RecordingFailed):
        obtain([quick], progress=False)


def test_a_diverged_run_is_never_recorded(quick, own_data):
    wild = replace(quick, train=replace(quick.train, lr=1e20))
    with pytest.raises(TrainingDiverged):
        obtain([wild], progress=False)
    assert not records.recorded([wild])


def test_a_record_whose_run_diverges_today_differs(trained, quick, tmp_path):
    wild = replace(quick, train=replace(quick.train, lr=1e20))
    run = replace(trained, experiment=wild, provenance=trained.provenance | {"key": wild.key})
    run.provenance["settings"] = experiments.as_dict(wild)
    Store(tmp_path).put(run)
    found = verify(Store(tmp_path).path(wild))
    assert not found.agrees
    assert "not finite" in found.worst


def test_a_record_of_older_code_says_so_until_it_is_verified(quick, own_data):
    run = obtain([quick], progress=False)[0]
    path = Store(own_data / "records").path(quick)
    write_record(path, run.history, run.provenance | {"identity": "0ld"})
    stale = obtain([quick])
    assert stale[0].state == "older code"
    assert "code 0ld (older code)" in stale.provenance_line()
    before = path.read_bytes()
    assert verify(path).agrees
    checked = obtain([quick])
    assert checked[0].state == "checked by today's code"
    assert path.read_bytes() == before  # who made it stays on record
    assert verify(path).agrees  # and once more adds nothing
    assert list(json.loads((own_data / "records" / "checks.json").read_text())) == [quick.key]


def test_checks_are_added_by_several_processes_at_once(tmp_path):
    code = "import sys; from pathlib import Path; from lib.records import Store\n"
    code += "for n in range(20): Store(Path(sys.argv[1])).note_check(f'{sys.argv[2]}{n}', {'identity': 'x'})"
    started = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path), name], cwd=ROOT) for name in "ab"]
    assert [process.wait() for process in started] == [0, 0]
    assert len(json.loads((tmp_path / "checks.json").read_text())) == 40


def test_damaged_checks_are_named_and_no_record_is_lost(quick, own_data, capsys, monkeypatch):
    obtain([quick], progress=False)
    (own_data / "records" / "checks.json").write_text('{"a": ')
    assert not obtain([quick])[0].live
    assert "nothing counts as checked" in capsys.readouterr().out
    assert Store(own_data / "records").path(quick).exists()
    monkeypatch.setattr(records, "RECORDS", own_data / "records")  # the book's own is not thrown away unasked
    for text in ("null", "[]", '{"key": null}'):
        (own_data / "records" / "checks.json").write_text(text)
        with pytest.raises(RecordDamaged, match=r"checks\.json is damaged"):
            obtain([quick])


def test_a_check_does_not_outlive_its_record(quick, own_data):
    run = obtain([quick], progress=False)[0]
    store = Store(own_data / "records")
    write_record(store.path(quick), run.history, run.provenance | {"identity": "0ld"})
    assert verify(store.path(quick)).agrees
    assert obtain([quick])[0].state == "checked by today's code"
    store.put(replace(run, provenance=run.provenance | {"identity": "0lder"}))
    assert obtain([quick])[0].state == "older code"


def test_numbers_that_differ_later_take_a_check_back(quick, own_data):
    run = obtain([quick], progress=False)[0]
    path = Store(own_data / "records").path(quick)
    history = run.history.copy()
    history.loc[4, "noisy_loss"] *= 1.02
    write_record(path, history, run.provenance | {"identity": "0ld"})
    assert verify(path, epochs=2).agrees
    assert not verify(path, epochs=6).agrees
    assert obtain([quick])[0].state == "older code"


def test_verify_finds_a_number_that_todays_code_does_not_give(trained, quick, tmp_path):
    path = tmp_path / "r.parquet"
    history = trained.history.copy()
    history.loc[2, "noisy_loss"] *= 1.02
    write_record(path, history, trained.provenance)
    result = verify(path)
    assert not result.agrees
    assert result.worst.startswith("noisy_loss in row 2")
    assert not (tmp_path / "checks.json").exists()


def test_numbers_of_another_processor_are_checked_against_the_code_that_made_them(
    trained, quick, tmp_path, monkeypatch
):
    """The checkout is this one, as it is: its code gives what today's gives."""
    path = tmp_path / "r.parquet"
    history = trained.history.copy()
    history.loc[2, "noisy_loss"] *= 1.02
    write_record(path, history, trained.provenance)
    monkeypatch.setattr("lib.runs.Run.state", "older code")  # here, not in the checkout
    result = verify(path, before=ROOT)
    assert result.agrees
    assert "on this machine the code before gives exactly the same" in result.worst
    assert quick.key in json.loads((tmp_path / "checks.json").read_text())


def test_the_code_before_must_be_the_records_own(trained, tmp_path):
    path = tmp_path / "r.parquet"
    history = trained.history.copy()
    history.loc[2, "noisy_loss"] *= 1.02
    write_record(path, history, trained.provenance | {"identity": "0ld"})
    result = verify(path, before=ROOT)
    assert not result.agrees
    assert "it was made or checked by code 0ld, which is not that commit's" in result.worst


def test_the_code_before_must_give_todays_numbers(trained, tmp_path):
    older = tmp_path / "older"
    shutil.copytree(ROOT / "lib", older / "lib")
    with (older / "lib" / "records.py").open("a", encoding="utf-8") as file:
        file.write("\n_frame = history_frame\n\n\ndef history_frame(rows):\n    return _frame(rows) * 1.0000001\n")
    path = tmp_path / "r.parquet"
    history = trained.history.copy()
    history.loc[2, "noisy_loss"] *= 1.02
    write_record(path, history, trained.provenance)
    result = verify(path, before=older)
    assert not result.agrees
    assert "on this machine the code before gives other numbers too" in result.worst


def test_a_commit_is_checked_out_for_a_while():
    with checkout("HEAD") as folder:
        assert (folder / "lib" / "__main__.py").exists()
    assert not folder.exists()
    with pytest.raises(ValueError, match="no book at commit 'nowhere'"), checkout("nowhere"):
        pass


def test_a_record_of_the_book_is_verified_by_todays_code(tmp_path, real_data):
    """Re-trains the first epochs of one recorded run of all images of 7 v 9."""
    path = next(p for p in Store(RECORDS).paths() if p.name.startswith("mnist79-512x512-lr0.1-seed0"))
    copy = tmp_path / path.name
    copy.write_bytes(path.read_bytes())
    result = verify(copy, epochs=1)
    assert result.agrees, result.worst


def test_all_records_of_the_book_are_whole():
    store = Store(RECORDS)
    assert store.paths()
    for path in store.paths():
        history, provenance = read_record(path)
        experiment = experiment_from(provenance["settings"], provenance.get("kind", ""))
        assert experiment.key == provenance["key"]
        assert path.name == f"{experiment.slug}.parquet"
        assert provenance.get("identity") or store.check(experiment.key)
        if isinstance(experiment, Experiment):
            assert len(history) == experiment.train.epochs + 1
            assert np.isfinite(history["train_loss"]).all()
    made = {provenance["key"]: provenance["date"] for _, provenance in map(read_record, store.paths())}
    checks = json.loads((RECORDS / "checks.json").read_text())
    assert checks.keys() <= made.keys()
    assert [key for key, check in checks.items() if check["date"] < made[key]] == []  # of numbers before


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_sample_of_the_books_records_is_what_todays_code_gives(kind, tmp_path):
    """Of each kind the record of today's code that took least, of those that need no download."""
    store = Store(RECORDS)
    small = [path for path in store.paths() if path.name.startswith(("digits", "circle", "clusters"))]
    runs = [
        (run.provenance["seconds"], path)
        for path in small
        if (run := store.run(path)).experiment.kind == kind and run.state != "older code"
    ]
    if not runs:
        pytest.skip("all records of this kind need MNIST or CIFAR-10, or are of older code")
    path = min(runs)[1]
    if kind in ("suspects", "stopping") and processor() not in store.run(path).provenance["device"]:
        pytest.skip("a whole training, which drifts apart from one recorded on another processor")
    copy = tmp_path / path.name
    copy.write_bytes(path.read_bytes())
    result = verify(copy)
    assert result.agrees, result.worst


def test_replaying_a_chapter_loads_its_own_wing_and_no_other(tmp_path):
    code = """
import sys
from lib.paper import dynamics, presets
from lib.press import chapters, claims, figures, readings, show
from lib import experiments, records
runs = records.obtain(experiments.with_seeds(presets.wide("cpu", 32, 0.4), 3))
assert not any(run.live for run in runs)
print(sorted({name.split(".")[1] for name in sys.modules if name.startswith("lib.")}))
"""
    env = os.environ | {"CLEAN_PRIORITY_DATA": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=env, capture_output=True, text=True)
    loaded = ast.literal_eval(done.stdout)
    assert {"paper", "press", "records"} <= set(loaded)
    assert not {"suspects", "beyond", "sweeps", "site"} & set(loaded), loaded


def test_early_stop_is_the_first_epoch_of_least_test_error(trained):
    rows = trained.history.head(4).assign(test_error=[0.5, 0.1, 0.3, 0.1], ratio=[1.0, 2.0, 3.0, 4.0])
    run = replace(trained, history=rows)
    assert run.early_stop == 1
    assert Runs([run]).at_early_stop("ratio").tolist() == [2.0]


def test_runs_as_tables(quick, own_data):
    runs = obtain(with_seeds(quick, 2), progress=False)
    assert runs.wide("test_error").shape == (7, 2)
    assert runs.table.groupby("seed").size().tolist() == [7, 7]
    with pytest.raises(ValueError, match="at least 1"):
        with_seeds(quick, 0)


def test_recording_needs_no_jupyter(quick, tmp_path):
    """On a bare GPU machine there is no papermill, jupytext, IPython or jupyter-book."""
    code = textwrap.dedent(f"""
        import sys
        missing = "IPython papermill jupytext jupyter_book nbformat nbclient dask ipykernel tqdm torchvision click"
        for name in missing.split():
            sys.modules[name] = None
        import json
        from lib import records
        from lib.press import chapters, claims, figures, show
        from lib.site import build
        runs = records.obtain([records.experiment_from(json.loads('''{json.dumps(experiments.as_dict(quick))}'''))])
        show.markdown(runs.provenance_line())
        print(len(runs[0].history))
    """)
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=os.environ | {"CLEAN_PRIORITY_DATA": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.stdout.splitlines()[-1] == "7", done.stderr


MEASURED = {
    "circle": CircleAngles(layers=2, activation="relu", widths=(8, 16), bases=1, step=45, seed=2),
    "pairs": PairAngles(data=DataConfig("clusters", train_size=20), width=8),
    "angles": StartAngles(data=DataConfig("digits", classes=(7, 9)), noise=NoiseConfig(0.3), model=ModelConfig((8,))),
    "batches": BatchDirections(
        data=DataConfig("digits", classes=(7, 9)),
        noise=NoiseConfig(0.3),
        model=ModelConfig((8,)),
        batch_sizes=(8,),
        draws=2,
    ),
    "kernel": KernelMachine(
        data=DataConfig("digits", classes=(7, 9)), noise=NoiseConfig(0.3), kernel="gaussian", scale=1.5, points=5
    ),
    "balanced kernel": BalancedKernelMachine(
        data=DataConfig("digits", classes=(7, 9)), noise=NoiseConfig(0.3), kernel="gaussian", scale=1.5, points=5
    ),
}


@pytest.mark.parametrize("kind", MEASURED)
def test_measurements_are_recorded_replayed_and_verified_like_trainings(kind, own_data, monkeypatch):
    measured = MEASURED[kind]
    first = obtain([measured], progress=False)
    assert first[0].live
    path = Store(own_data / "records").path(measured)
    _, provenance = read_record(path)
    assert provenance["kind"] == kind
    assert experiment_from(json.loads(json.dumps(provenance["settings"])), kind) == measured
    assert verify(path).agrees
    monkeypatch.setattr(type(measured), "rows", lambda *_: pytest.fail("measured anew"))
    again = obtain([measured])
    assert not again[0].live
    pd.testing.assert_frame_equal(first[0].history, again[0].history)


def test_measurements_of_another_kind_or_setting_have_another_key():
    circle = MEASURED["circle"]
    keys = {one.key for one in (*MEASURED.values(), replace(circle, layers=3), replace(circle, seed=0))}
    assert len(keys) == len(MEASURED) + 2


def test_a_measurement_that_cannot_be_made_fails_before_the_first_run(own_data, monkeypatch):
    three = replace(MEASURED["kernel"], data=DataConfig("digits"))
    monkeypatch.setattr(KernelMachine, "rows", lambda *_: pytest.fail("computed"))
    with pytest.raises(ValueError, match="two classes"):
        obtain([MEASURED["kernel"], three])


def test_what_cannot_be_moved_aside_stays_and_counts_as_none(trained, tmp_path, monkeypatch, capsys):
    store = Store(tmp_path)
    store.put(trained)
    path = store.path(trained.experiment)
    path.write_bytes(path.read_bytes()[:100])

    def refused(*_):
        raise PermissionError("read-only")

    monkeypatch.setattr("pathlib.Path.rename", refused)
    assert store.get(trained.experiment) is None
    assert "It was left where it is; the run is made anew" in capsys.readouterr().out


def test_damaged_records_and_copies_are_left_out_where_all_are_read(trained, tmp_path, capsys):
    store = Store(tmp_path)
    store.put(trained)
    path = store.path(trained.experiment)
    (tmp_path / "digits-copy.parquet").write_bytes(path.read_bytes())
    (tmp_path / "digits-cut.parquet").write_bytes(path.read_bytes()[:100])
    assert [found for found, _ in store.runs()] == [path]
    out = capsys.readouterr().out
    assert "digits-cut" in out
    assert f"digits-copy.parquet is a copy of {trained.experiment.slug}" in out


def test_a_record_of_another_version_is_damaged_and_not_misjudged(trained, tmp_path):
    path = Store(tmp_path).path(trained.experiment)
    newer = trained.provenance | {"key": "0" * 16}  # of settings that are not known here
    write_record(path, trained.history, newer)
    with pytest.raises(RecordDamaged, match="settings that this version of the book does not know"):
        Store(tmp_path).run(path)
    write_record(path, trained.history, trained.provenance | {"kind": "of the future"})
    with pytest.raises(RecordDamaged, match="of another version of the book"):
        Store(tmp_path).run(path)


def test_a_check_says_of_which_record_it_is_whatever_the_clocks_say(trained, tmp_path):
    store = Store(tmp_path)
    ahead = trained.provenance | {"identity": "0123456789ab", "date": "2999-01-01T00:00:00+00:00"}
    store.put(replace(trained, provenance=ahead))
    store.note_check(trained.experiment.key, {"identity": trained.code, "date": "2030-01-01", "of": ahead["date"]})
    assert store.get(trained.experiment).state == "checked by today's code"
    store.put(replace(trained, provenance=ahead | {"date": "2998-01-01T00:00:00+00:00"}))
    assert store.get(trained.experiment).state == "older code"


def test_a_record_that_could_not_be_written_keeps_its_check(trained, tmp_path, monkeypatch):
    store = Store(tmp_path)
    store.put(replace(trained, provenance=trained.provenance | {"identity": "0123456789ab"}))
    store.note_check(trained.experiment.key, {"identity": trained.code, "of": trained.provenance["date"]})

    def full(*_, **__):
        raise OSError("no space left")

    monkeypatch.setattr(records.pq, "write_table", full)
    with pytest.raises(records.RecordingFailed):
        store.put(trained)
    assert store.get(trained.experiment).state == "checked by today's code"
