"""One script of several ES modules: a page of its own, or a notebook's view, can load no others."""

import re
from pathlib import Path

_IMPORT = re.compile(r'^import \{([^}]*)\} from "(\.[^"]*)";\n', re.MULTILINE)
_DECLARED = re.compile(
    r"^(export )?(?:(?:async )?function\*? ?|class |const |let )(\w+|[\[{][^=]*)", re.MULTILINE
)


def bundle(*paths: Path) -> str:
    """Return the text of modules and of all they import: each once, after what it imports.

    As they share one scope, no two may declare the same name, and an import keeps the name as it
    is. Exports stay.

    Raises:
        ValueError: an import of another form, of a missing name or in a circle, or a name that two
            modules declare.
    """
    texts: dict[Path, str] = {}
    for path in paths:
        _collect(path.resolve(), texts, ())
    homes: dict[str, Path] = {}
    for path, text in texts.items():
        for name in _declared(text):
            if name in homes:
                raise ValueError(f"{name}: declared in {homes[name].name} and in {path.name}")
            homes[name] = path
    return "\n".join(texts.values())


def _declared(text: str, *, exported: bool = False) -> list[str]:
    groups = [names for export, names in _DECLARED.findall(text) if export or not exported]
    return [name for names in groups for name in re.findall(r"\w+", names)]


def _collect(path: Path, texts: dict[Path, str], above: tuple[Path, ...]) -> None:
    """Put the module into `texts`, after those it imports."""
    if path in above:
        raise ValueError(f"{path.name}: imports itself, through {above[-1].name}")
    if path in texts:
        return
    text = path.read_text(encoding="utf-8")
    for names, address in _IMPORT.findall(text):
        other = (path.parent / address).resolve()
        _collect(other, texts, (*above, path))
        for name in filter(None, map(str.strip, names.split(","))):
            if name not in _declared(texts[other], exported=True):
                fault = f"imports {name!r}, which {other.name} does not export"
                raise ValueError(f"{path.name}: {fault}")
    texts[path] = _IMPORT.sub("", text)
    if re.search(r"\bimport\b", re.sub(r"//.*", "", texts[path])):
        raise ValueError(f'{path.name}: expected imports as `import {{ a, b }} from "./x.js";`')
