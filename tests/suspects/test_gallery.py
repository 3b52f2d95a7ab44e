"""The gallery: one file that asks for nothing, says what the table says, and escapes what users name."""

import base64
import hashlib
import io
import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from lib.suspects import gallery
from lib.suspects.read import Labelled

NASTY = '<script>alert("x")</script>'


class Page(HTMLParser):
    """What a browser would build, independently of what wrote it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict]] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.words.append(data)

    def all(self, tag: str) -> list[dict]:
        return [attributes for name, attributes in self.tags if name == tag]


def made(n: int = 30, *, embedded: bool = False, channels: int = 1) -> tuple[pd.DataFrame, Labelled]:
    draws = torch.Generator().manual_seed(0)
    shape = (n, 5) if embedded else (n, channels, 8, 8)
    inputs = torch.randint(0, 256, shape, generator=draws, dtype=torch.uint8)
    if embedded:
        inputs = inputs.float()
    names = ("cat", "dog", NASTY)
    labels = torch.arange(n) % 3
    index = pd.Index([f"photo {k}" for k in range(n - 1)] + [NASTY])
    labelled = Labelled(inputs, labels, names, index, (f"A note on {NASTY}.",))
    quality = np.random.default_rng(0).permutation(n) / (n - 1)
    table = pd.DataFrame(
        {
            "given_label": [names[k] for k in labels.tolist()],
            "predicted_label": [names[(k + (q < 0.3)) % 3] for k, q in zip(labels.tolist(), quality, strict=True)],
            "label_quality": quality,
            "probability_wrong": 1 - quality,
            "is_label_issue": quality < 0.3,
        },
        index=index,
    )
    return table, labelled


def page_of(tmp_path, table, labelled, **options) -> tuple[int, str, Page]:
    path = tmp_path / "gallery.html"
    shown = gallery.write_gallery(table, labelled, path, **options)
    text = path.read_text(encoding="utf-8")
    return shown, text, Page(text)


def test_the_worst_come_first_and_no_more_than_asked_for(tmp_path):
    table, labelled = made()
    shown, _, page = page_of(tmp_path, table, labelled, limit=12)
    worst = table.sort_values("label_quality").index[:12]
    assert shown == 12
    titles = [attributes["title"] for attributes in page.all("p") if attributes.get("class") == "id"]
    assert titles == list(worst)


def test_nothing_is_asked_of_a_network(tmp_path):
    _, text, page = page_of(tmp_path, *made(), summary=["Some words."])
    links = [
        v for _, attributes in page.tags for k, v in attributes.items() if k in ("src", "href", "action", "srcset")
    ]
    assert links
    assert all(link.startswith(("data:", "#")) for link in links)
    assert not re.search(r"@import|url\(|https?://|fetch\(|XMLHttpRequest", text)
    (policy,) = [a["content"] for a in page.all("meta") if a.get("http-equiv") == "Content-Security-Policy"]
    assert policy.startswith("default-src 'none'")


def test_what_users_name_is_escaped(tmp_path):
    _, text, page = page_of(tmp_path, *made(), summary=[NASTY])
    assert len(page.all("script")) == 1
    assert NASTY not in text
    assert any(NASTY in attributes.get("aria-label", "") for attributes in page.all("article"))


def test_the_policy_allows_the_one_script_that_is_in_the_page(tmp_path):
    _, text, page = page_of(tmp_path, *made())
    (policy,) = [a["content"] for a in page.all("meta") if a.get("http-equiv") == "Content-Security-Policy"]
    (script,) = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy
    assert "function draw()" in script
    assert "{{" not in text


@pytest.mark.parametrize("channels", [1, 3])
def test_pictures_are_the_samples(tmp_path, channels):
    table, labelled = made(channels=channels)
    _, _, page = page_of(tmp_path, table, labelled)
    images = page.all("img")
    assert len(images) == len(table)
    for attributes, position in zip(images, table["label_quality"].to_numpy().argsort(), strict=True):
        kind, _, content = attributes["src"].partition(";base64,")
        assert kind == "data:image/png"
        with Image.open(io.BytesIO(base64.b64decode(content))) as picture:
            seen = np.asarray(picture)
        expected = labelled.inputs[int(position)].numpy()
        assert np.array_equal(seen, expected[0] if channels == 1 else expected.transpose(1, 2, 0))
        assert attributes["alt"]


def test_embeddings_have_cards_without_pictures(tmp_path):
    shown, _, page = page_of(tmp_path, *made(embedded=True))
    assert shown == len(page.all("article")) == 30
    assert not page.all("img")


def test_a_reader_without_eyes_or_mouse_finds_the_way(tmp_path):
    _, _, page = page_of(tmp_path, *made())
    assert page.all("html")[0]["lang"] == "en"
    assert len(page.all("main")) == len(page.all("h1")) == 1
    assert [a for a in page.all("p") if a.get("aria-live") == "polite"]
    assert sum(a["tabindex"] == "0" for a in page.all("article")) == 1  # arrow keys reach the others
    assert all(a.get("aria-label") for a in page.all("article"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.drop(columns="label_quality"), "no column label_quality"),
        (lambda t: t.assign(given_label="bird"), "none of the classes"),
        (lambda t: t.assign(probability_wrong=np.nan), "holds 30 NaN"),
        (lambda t: t.rename(index={"photo 3": "another"}), "no sample"),
    ],
)
def test_tables_of_something_else_are_refused(tmp_path, change, message):
    table, labelled = made()
    with pytest.raises(ValueError, match=message):
        gallery.write_gallery(change(table), labelled, tmp_path / "gallery.html")
    assert not list(tmp_path.iterdir())


def test_near_duplicates_and_outliers_are_shown_and_can_be_asked_for(tmp_path):
    table, labelled = made()
    also = table.assign(near_duplicate="", near_conflict=False, outlier=False)
    first, second, third = also.sort_values("label_quality").index[:3]
    also.loc[first, ["near_duplicate", "near_conflict"]] = [NASTY, True]
    also.loc[second, "near_duplicate"] = "photo 3"
    also.loc[third, "outlier"] = True
    gallery.write_gallery(also, labelled, tmp_path / "also.html")
    page = Page((tmp_path / "also.html").read_text(encoding="utf-8"))
    assert [card.get("data-a") for card in page.all("article")][:4] == ["dc", "d", "o", None]
    assert {"name": "also"} in page.all("select")
    text = "".join(page.words)
    assert f"near duplicate with another label: {NASTY}" in text
    assert "far from all others" in text
    gallery.write_gallery(table, labelled, tmp_path / "plain.html")
    assert {"name": "also"} not in Page((tmp_path / "plain.html").read_text(encoding="utf-8")).all("select")
