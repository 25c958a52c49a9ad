"""Pages of one file that fetch nothing, from the templates beside this module.

Every string of a report may come from somebody else's file: the templates print none that is not made fit to
be printed, and escaped.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import jinja2
from markupsafe import Markup

from toeplitz_theory.reports.sentences import paragraph


@cache
def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.PackageLoader("toeplitz_theory.reports"),
        autoescape=True,
        finalize=lambda value: paragraph(value) if type(value) is str else value,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )


def render(template: str, **values: Any) -> Markup:
    """Return a template filled with values; those of type `Markup` are taken to be HTML, others escaped.

    Examples
    --------
    >>> print(render("charts.html", pictures=[Markup("<svg/>")], about="<b>"))
    <div class="charts layers"><svg/></div><p class="hint">&lt;b&gt;</p>
    """
    return Markup(_environment().get_template(template).render(**values))
