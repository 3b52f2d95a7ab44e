"""Generated pages: the templates of this wing, filled in."""

import html
import json
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

TEMPLATES = Path(__file__).parent / "templates"


def rendered(template: str, **given: object) -> str:
    """A file of ``templates``, filled in; what it names and is not given is an error."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"escaped": html.escape, "quoted": json.dumps, "cell": _cell}
    return environment.get_template(template).render(given)


def _cell(text: str) -> str:
    """Text for a cell of a Markdown table: in one line, without a bar or a sign of HTML or mathematics of its own."""
    return html.escape(" ".join(text.split()), quote=False).replace("|", "\\|").replace("$", "\\$").replace("*", "\\*")
