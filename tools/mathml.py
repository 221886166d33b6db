r"""Sphinx extension: formulas become MathML while the site is built.

The browser then draws them itself: no script, no wait, and a screen reader finds real mathematics.
A formula that cannot be turned into MathML is a warning, which the build treats as an error.
"""

import html
import re
from itertools import pairwise
from xml.etree import ElementTree

from docutils import nodes
from latex2mathml.commands import MATRICES
from latex2mathml.converter import Converter
from sphinx.util import logging
from sphinx.util.math import get_node_equation_number

logger = logging.getLogger(__name__)
SCRIPTS = {"msub": 2, "msup": 2, "msubsup": 3}
CHILDREN = SCRIPTS | {"mfrac": 2, "mroot": 2, "mover": 2, "munder": 2, "munderover": 3}
ENVIRONMENTS = {name.removeprefix("\\") for name in MATRICES}


def to_mathml(tex, *, block=False):
    """Return `<math>` for a TeX formula; ValueError says what cannot be rendered."""
    if block and "\\\\" in tex and "\\begin" not in tex:
        tex = rf"\begin{{aligned}}{tex}\end{{aligned}}"
    known = re.sub(r"\\(begin|end){aligned}", r"\\\1{split}", tex)  # the converter's name for it
    for name in re.findall(r"\\begin{([^}]*)}", known):
        if name not in ENVIRONMENTS:
            raise ValueError(f"unknown environment {name}")
    try:
        math = Converter(display="block" if block else "inline").convert_to_element(known)
    except Exception as error:  # the converter's own errors have no common base, often no text
        raise ValueError(f"{type(error).__name__} {error}".strip()) from error
    for element in list(math.iter()):
        mend(element)
    math.set("alttext", " ".join(tex.split()))
    return ElementTree.tostring(math, encoding="unicode")


def mend(element):
    """Turn the converter's output into what browsers render, and refuse what they would not."""
    # The converter writes symbols as entities and expects them to stay unescaped, which would
    # leave a bare < in the page.
    element.text = html.unescape(element.text or "")
    if unknown := re.search(r"\\[A-Za-z]+|&", element.text):
        raise ValueError(f"cannot render {unknown[0]}")
    if len(element) != CHILDREN.get(element.tag, len(element)):
        raise ValueError(f"an argument is missing in {element.tag}")
    if element.get("mathvariant", "normal") not in ("normal", "italic"):
        raise ValueError(f"browsers do not know the style {element.get('mathvariant')}")
    if alignment := element.attrib.pop("columnalign", None):  # browsers know it as CSS only
        element.set("style", f"text-align: {alignment}")
    letters = [child for child in element if child.get("mathvariant") == "normal"]
    if element.tag == "mrow" and len(letters) == len(element) > 1:  # \mathrm{GRU} is one name
        name = "".join(child.text for child in letters)
        element[:] = [ElementTree.Element("mi")]
        element[0].text = html.unescape(name)
    if element.tag == "mo" and element.text.isalpha() and len(element.text) > 1:
        element.tag = "mi"  # \operatorname{softmax}: a name, without an operator's wide spaces
    row = element if element.tag not in CHILDREN else ()
    for place, pair in reversed(list(enumerate(pairwise(row), 1))):
        if any(map(is_name, pair)) and not {"mo", "mspace", "mrow"} & {e.tag for e in pair}:
            element.insert(place, ElementTree.Element("mspace", width="0.167em"))  # log p, not logp
    scripts = element[1:] if element.tag in SCRIPTS else []
    tight = [mo for script in scripts for mo in script.iter("mo")]
    for operator in [element] if element.text == "/" else tight:  # as TeX sets them
        operator.attrib.update(lspace="0", rspace="0")


def is_name(element):
    """Whether an element is a function's name of several letters, perhaps with an index."""
    base = element[0] if element.tag in ("msub", "msup", "msubsup", "munder") else element
    return base.tag in ("mi", "mo") and len(base.text or "") > 1 and base.text.isalpha()


def render(writer, node, *, block):
    """Write the formula in the same wrapper as Sphinx's own renderers do."""
    tag = "div" if block else "span"
    writer.body.append(writer.starttag(node, tag, "", CLASS="math notranslate nohighlight"))
    if block and node.get("number"):
        number = get_node_equation_number(writer, node)
        writer.body.append(f'<span class="eqno">({number})')
        writer.add_permalink_ref(node, "Link to this equation")
        writer.body.append("</span>")
    try:
        writer.body.append(to_mathml(node.astext(), block=block))
    except ValueError as error:
        logger.warning("formula %r: %s", node.astext(), error, location=node)
    writer.body.append(f"</{tag}>")
    raise nodes.SkipNode


def setup(app):
    app.add_html_math_renderer(
        "mathml",
        (lambda writer, node: render(writer, node, block=False), None),
        (lambda writer, node: render(writer, node, block=True), None),
    )
    return {"parallel_read_safe": True, "parallel_write_safe": True}
