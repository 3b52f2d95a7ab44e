"""The theme's icons, cut down to those that the pages show: a few kilobytes in place of a megabyte and a half."""

import re
from pathlib import Path

STYLE = Path("_static", "styles", "pydata-sphinx-theme.css")
FONTS = Path("_static", "vendor", "fontawesome", "webfonts")
RULE = re.compile(r'((?:\.fa-[\w-]+:before,?)+)\{content:"[^"]*"\}')
SOURCES = re.compile(r'url\(([^)]*/)([\w-]+)\.woff2\) format\("woff2"\),url\([^)]*\.ttf\) format\("truetype"\)')
ESCAPED = re.compile(r"\\([ef][0-9a-f]{3})")
OWN = re.compile("[\ue000-\uf8ff]")  # Unicode's private letters, where fonts of icons have theirs
SCRIPT = re.compile(r'<script src="[^"]*fontawesome\.js[^"]*"></script>')


def trim(site: Path) -> None:
    """Keep of the theme's icons below ``site`` what its pages and scripts name; the script that draws all is dropped.

    FileNotFoundError if the theme's style or fonts are not where they were.
    """
    for script in (site / "_static" / "scripts").glob("fontawesome.js*"):
        if "LICENSE" not in script.name:
            script.unlink()
    texts = [path.read_text(encoding="utf-8") for kind in ("*.html", "*.js") for path in site.rglob(kind)]
    named = {name for text in texts for name in re.findall(r"\bfa-[a-z0-9-]+", text)}
    style = (site / STYLE).read_text(encoding="utf-8")
    style = RULE.sub(lambda rule: rule[0] if named & set(re.findall(r"fa-[\w-]+", rule[1])) else "", style)
    style = SOURCES.sub(r'url(\1\2.woff) format("woff")', style)
    (site / STYLE).write_text(style, encoding="utf-8")
    styles = [path.read_text(encoding="utf-8") for path in (site / "_static").rglob("*.css")]
    letters = {int(code, 16) for text in styles for code in ESCAPED.findall(text)}
    letters |= {ord(letter) for text in styles for letter in OWN.findall(text)}
    for path in sorted((site / FONTS).glob("*.ttf")):
        _cut(path, letters)


def _cut(path: Path, letters: set[int]) -> None:
    """A font with these letters alone as WOFF, in place of its other forms."""
    from fontTools import subset

    options = subset.Options(flavor="woff", notdef_outline=True)
    with subset.load_font(str(path), options) as font:
        cutter = subset.Subsetter(options)
        cutter.populate(unicodes=letters)
        cutter.subset(font)
        subset.save_font(font, str(path.with_suffix(".woff")), options)
    path.unlink()
    path.with_suffix(".woff2").unlink()
