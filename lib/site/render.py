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
    environment.filters |= {"escaped": html.escape, "quoted": json.dumps}
    return environment.get_template(template).render(given)
