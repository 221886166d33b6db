"""Modules that are joined into one: the order, and what would not work in one scope."""

import re

import pytest

from memformer_lite.widgets.base import FOLDER
from memformer_lite.widgets.bundle import bundle

WORDS = "// Words.\n\nexport const word = (n) => `${n}`;\n"
PARTS = 'import { word } from "./words.js";\n\nexport function* part() {\n  word(1);\n}\n'
ONE = """import {
  part,
} from "./parts/parts.js";
import { word } from "./parts/words.js";

export const one = () => [...part(), word(1)];
"""


@pytest.fixture
def write(tmp_path):
    def write(words=WORDS, one=ONE):
        (tmp_path / "parts").mkdir()
        (tmp_path / "parts" / "words.js").write_text(words, encoding="utf-8")
        (tmp_path / "parts" / "parts.js").write_text(PARTS, encoding="utf-8")
        (tmp_path / "one.js").write_text(one, encoding="utf-8")
        return tmp_path / "one.js"

    return write


def test_each_module_stands_once_after_what_it_imports(write):
    one = write()
    text = bundle(one, one.parent / "parts" / "words.js")
    assert "import" not in text
    names = ("const word", "function* part", "const one")
    places = [text.index(f"export {name}") for name in names]
    assert places == sorted(places)
    assert text.count("export") == 3


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"one": f"{ONE}const word = 1;\n"}, "word: declared in words.js and in one.js"),
        ({"one": f"{ONE}let [a, word] = [1, 2];\n"}, "word: declared in words.js and in one.js"),
        ({"one": f"{ONE}async function word() {{}}\n"}, "word: declared in words.js and in one.js"),
        ({"words": 'import { one } from "../one.js";\n'}, "one.js: imports itself, through"),
        ({"words": "const word = 1;\n"}, "imports 'word', which words.js does not export"),
        ({"one": 'import { word as w } from "./parts/words.js";\n'}, "imports 'word as w', which"),
        ({"one": 'import * as words from "./parts/words.js";\n'}, "one.js: expected imports as"),
        ({"one": 'const words = await import("./words.js");\n'}, "one.js: expected imports as"),
    ],
)
def test_what_cannot_be_joined_is_refused(write, changes, says):
    with pytest.raises(ValueError, match=re.escape(says)):
        bundle(write(**changes))


def test_every_module_belongs_to_a_widget():
    """None is left over, and each name is known by its own module alone."""
    widgets = [path for path in FOLDER.glob("*.js") if path.with_suffix(".py").exists()]
    texts = "".join(bundle(FOLDER / "parts" / "start.js", path) for path in widgets)
    for path in FOLDER.rglob("*.js"):
        last = path.read_text(encoding="utf-8").splitlines()[-2:]
        assert "\n".join(last) in texts, path.name
