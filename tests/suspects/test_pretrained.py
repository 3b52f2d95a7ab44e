"""Features of a pretrained network: by name, by file, kept as they come."""

import errno
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from torchvision import models

from lib.suspects import find_suspects, pretrained

IMAGES = torch.randint(0, 256, (70, 3, 12, 10), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
NETWORK = "mnasnet0_5"


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Of a small network with five classes, as somebody trained it further."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "mine.pt"
    torch.save(models.get_model(NETWORK, weights=None, num_classes=5).state_dict(), path)
    return path


def test_features_are_what_goes_into_the_last_layer(weights):
    network = pretrained.image_network(NETWORK, weights)
    found = network.features(IMAGES[:3])
    model = models.get_model(NETWORK, weights=None, num_classes=5)
    model.load_state_dict(torch.load(weights, weights_only=True))
    model.eval()
    with torch.no_grad():
        seen = model.layers(pretrained.shown(IMAGES[:3], pretrained.SIDE)).mean([2, 3])
    np.testing.assert_allclose(found, seen.numpy(), rtol=1e-4, atol=1e-5)


def test_images_are_shown_as_imagenet_was():
    white = torch.full((1, 1, 4, 4), 255, dtype=torch.uint8)
    seen = pretrained.shown(white, 8)
    assert seen.shape == (1, 3, 8, 8)
    np.testing.assert_allclose(
        seen[0, :, 3, 3], [(1 - 0.485) / 0.229, (1 - 0.456) / 0.224, (1 - 0.406) / 0.225], rtol=1e-5
    )
    assert torch.equal(seen, pretrained.shown(white.float() / 255, 8))


@pytest.mark.parametrize(
    ("name", "told", "mean", "deviation"),
    [
        ("mnasnet0_5", {}, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        ("efficientnet_v2_l", {}, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),  # as torchvision documents it
        ("timm/one", {"mean": (0.5, 0.5, 0.5), "std": (0.25, 0.25, 0.25)}, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)),
        ("timm/another", {}, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    ],
)
def test_a_network_is_shown_images_on_the_scale_that_it_was_trained_with(name, told, mean, deviation):
    model = torch.nn.Linear(1, 1)
    model.default_cfg = told
    scale = pretrained.scale_of(name, model)
    white = pretrained.shown(torch.full((1, 3, 4, 4), 255, dtype=torch.uint8), 8, scale)
    np.testing.assert_allclose(white[0, :, 3, 3], (1 - np.array(mean)) / deviation, rtol=1e-5)


def mean_colours(images):
    return images.float().mean((2, 3)).numpy()


def test_a_stopped_run_goes_on_where_it_was(tmp_path):
    asked = []

    def some_then_stop(images):
        asked.append(len(images))
        if len(asked) == 3:
            raise KeyboardInterrupt
        return mean_colours(images)

    with pytest.raises(KeyboardInterrupt):
        pretrained.extracted(IMAGES, pretrained.Extractor("a", "b", some_then_stop), tmp_path, progress=False)
    (kept,) = tmp_path.glob("features-*.f32")
    assert kept.stat().st_size == pretrained.BATCH * 3 * 4
    with open(kept, "ab") as file:
        file.write(b"half")  # of a row
    whole = pretrained.Extractor("a", "b", lambda images: asked.append(len(images)) or mean_colours(images))
    found = pretrained.extracted(IMAGES, whole, tmp_path, progress=False)
    np.testing.assert_array_equal(found, mean_colours(IMAGES))
    assert asked[3:] == [1, len(IMAGES) - pretrained.BATCH]  # the first is asked again, to see that it is the same
    again = pretrained.extracted(IMAGES, whole, tmp_path, progress=False)
    assert asked[5:] == [1]
    np.testing.assert_array_equal(again, found)


def test_other_images_and_damaged_files_are_not_taken_for_these(tmp_path):
    network = pretrained.Extractor("a", "b", mean_colours)
    pretrained.extracted(IMAGES, network, tmp_path, progress=False)
    pretrained.extracted(IMAGES.flip(0), network, tmp_path, progress=False)
    files = sorted(tmp_path.glob("features-*"))
    assert len(files) == 2
    for file in files:
        file.write_bytes(np.full((70, 3), 7, np.float32).tobytes())
    np.testing.assert_array_equal(pretrained.extracted(IMAGES, network, tmp_path, progress=False), mean_colours(IMAGES))


def test_two_that_want_the_same_features_at_once_both_get_them(tmp_path):
    def slow(images):
        time.sleep(0.05)
        return mean_colours(images)

    def get(_):
        return pretrained.extracted(IMAGES, pretrained.Extractor("a", "b", slow), tmp_path, progress=False)

    with ThreadPoolExecutor(2) as pool:
        for found in pool.map(get, range(2)):
            np.testing.assert_array_equal(found, mean_colours(IMAGES))


def test_who_waits_for_another_process_says_so(tmp_path, capsys):
    name = tmp_path / ".features.lock"
    begun = threading.Event()

    def hold():
        with pretrained._alone(name):
            begun.set()
            time.sleep(0.3)

    with ThreadPoolExecutor(1) as pool:
        held = pool.submit(hold)
        begun.wait()
        with pretrained._alone(name):
            held.result()
    assert "another process computes these features: waiting for it" in capsys.readouterr().out


def test_where_there_are_no_locks_features_are_computed_all_the_same(tmp_path, monkeypatch, capsys):
    def none(*_, **__):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(pretrained.FileLock, "acquire", none)
    network = pretrained.Extractor("a", "b", mean_colours)
    np.testing.assert_array_equal(pretrained.extracted(IMAGES, network, tmp_path, progress=False), mean_colours(IMAGES))
    assert "has no locks" in capsys.readouterr().out


def test_rows_beyond_the_last_sample_are_cut_off(tmp_path):
    network = pretrained.Extractor("a", "b", mean_colours)
    pretrained.extracted(IMAGES, network, tmp_path, progress=False)
    (kept,) = tmp_path.glob("features-*")
    kept.write_bytes(kept.read_bytes() + bytes(24))
    np.testing.assert_array_equal(pretrained.extracted(IMAGES, network, tmp_path, progress=False), mean_colours(IMAGES))


def test_weights_of_any_type_tell_networks_apart():
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2)).to(torch.bfloat16)
    name = pretrained._hash_of(model)
    assert name == pretrained._hash_of(model)
    model[0].weight.data[0, 0] += 1
    assert name != pretrained._hash_of(model)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("resnet1", None, "no network 'resnet1'; there are: .*resnet18"),
        ("timm/anything", None, "needs timm, which is not installed"),
        ("squeezenet1_0", {"a": torch.ones(1)}, "does not end in a linear layer"),
        ("squeezenet1_0", None, "does not end in a linear layer"),
        (NETWORK, {"a": torch.ones(1)}, "not those of mnasnet0_5"),
        (NETWORK, [1], "no weights by name"),
        (NETWORK, b"text", "no file of weights"),
        (NETWORK, "missing", "is not there"),
    ],
)
def test_what_cannot_be_meant_is_said_before_anything_is_read(tmp_path, monkeypatch, name, content, says):
    monkeypatch.setitem(sys.modules, "timm", None)
    path = None if content is None else tmp_path / "weights.pt"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None and content != "missing":
        torch.save(content, path)
    with pytest.raises(ValueError, match=says):
        find_suspects(tmp_path / "nowhere", out=tmp_path / "out", features=name, weights=path)


def test_weights_that_run_code_are_refused(tmp_path):
    torch.save(models.get_model(NETWORK, weights=None), tmp_path / "whole.pt")
    with pytest.raises(ValueError, match=r"without running code in it: save model.state_dict\(\)"):
        pretrained.image_network(NETWORK, tmp_path / "whole.pt")


def test_weights_that_cannot_be_fetched_ask_for_a_file(monkeypatch):
    def offline(*_, **__):
        raise OSError("no network")

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", offline)
    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", offline)
    with pytest.raises(ValueError, match=r"cannot be fetched .*--weights"):
        pretrained.image_network(NETWORK)


def test_texts_ask_for_what_is_not_installed_before_anything_is_read(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(ValueError, match="pip install sentence-transformers"):
        find_suspects(tmp_path / "a.csv", out=tmp_path / "out", text_column="words", tell=str)


@pytest.mark.parametrize("option", ["image_column", "root"])
def test_options_of_images_do_not_go_with_texts(option, tmp_path):
    with pytest.raises(ValueError, match="those of a table that names images"):
        find_suspects(tmp_path / "a.csv", out=tmp_path / "out", text_column="words", **{option: "b"})


def test_images_by_a_network_from_the_command_s_function(tmp_path, weights):
    labels = np.arange(len(IMAGES)) % 2
    bright = IMAGES.float() / 2 + 100 * torch.from_numpy(labels).float()[:, None, None, None]
    np.savez(tmp_path / "a.npz", images=bright.byte().numpy(), labels=labels)
    said = []
    found = find_suspects(
        tmp_path / "a.npz", out=tmp_path / "out", features=NETWORK, weights=weights, tell=said.append, device="cpu"
    )
    assert found.history == []
    assert len(found.table) == len(IMAGES)
    assert "data:image/png" in (tmp_path / "out" / "suspects.html").read_text(encoding="utf-8")
    assert list((tmp_path / "out").glob("features-*.f32"))
    assert any(NETWORK in line for line in said)


def test_nothing_is_fetched_for_a_source_that_is_not_there_or_needs_no_network(tmp_path, monkeypatch):
    fetched = []
    monkeypatch.setattr("lib.suspects.command.image_network", lambda *_: fetched.append("images"))
    monkeypatch.setattr("lib.suspects.command.text_network", lambda *_: fetched.append("texts"))
    monkeypatch.setattr("lib.suspects.command.check_texts", lambda: None)
    np.savez(tmp_path / "a.npz", embeddings=np.eye(6), labels=np.arange(6) % 2)
    (tmp_path / "a.csv").write_text("words,label\na,1\n", encoding="utf-8")
    ways = {"out": tmp_path / "out", "tell": str}
    with pytest.raises(ValueError, match="features are taken of images"):
        find_suspects(tmp_path / "a.npz", features=NETWORK, **ways)
    with pytest.raises(FileNotFoundError, match="nowhere is not there"):
        find_suspects(tmp_path / "nowhere", features=NETWORK, **ways)
    with pytest.raises(ValueError, match="no column 'text'"):
        find_suspects(tmp_path / "a.csv", text_column="text", **ways)
    assert fetched == []


def test_texts_become_features(tmp_path, monkeypatch):
    words = ["good", "fine", "nice", "bad", "poor", "dire"]
    rows = [f"{words[k % 6]} thing {k},{'up' if k % 6 < 3 else 'down'}" for k in range(60)]
    (tmp_path / "a.csv").write_text("\n".join(["words,label", *rows, "good thing,down", ""]), encoding="utf-8")

    def vectors(texts):
        return np.array([[float(word in text) for word in words] for text in texts], np.float32)

    monkeypatch.setattr("lib.suspects.command.text_network", lambda *_: pretrained.Extractor("words", "0", vectors))
    monkeypatch.setattr("lib.suspects.command.check_texts", lambda: None)
    found = find_suspects(tmp_path / "a.csv", out=tmp_path / "out", text_column="words", tell=str)
    worst = found.table.sort_values("label_quality").iloc[0]
    assert worst.name == "60: good thing"
    assert worst["given_label"] == "down"
