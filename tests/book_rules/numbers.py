"""The rule on numbers: what the text says was computed on the page, or is cited."""

import re

from book_rules.chapter import rule, sentences, without_code

NUMBER = re.compile(
    r"(?<![\w.])(?<![A-Za-z]-)(\d{1,3}(?:,\d{3})+|\d+)(\.\d+)?(e[-+]?\d+)?\s?(%|×|x\b)?(?![\w.]*[A-Za-z_])"
)
# Numbers that name something instead of counting it: years, versions, dates, addresses of papers,
# parts of this book or another text, minutes of an exercise.
NAMES = re.compile(
    r"\b(?:19|20)\d\d(?:-\d\d)*\b|\b\d+\.\d+\.\d+\b|\b\d{4}\.\d{5}(?:v\d)?\b|\*\*Time:\*\*[^*]*"
    r"|\b(?:exercise|chapter|section|figure|table|equation|page|line|python|torch|pytorch)s?"
    r"\s+\d[\d.]*(?:(?:[–-]|, | and | to )\d[\d.]*)*",
    re.I,
)
CITED = re.compile(
    r"\]\(https?:|\]\(\d\d_\w+\.ipynb|<https?:|\bthe reference\b"
    r"|\bpaper\b.*?\b(?:claim|report|sa(?:y|id)|writ|wrote|section|table|equation)",
    re.I | re.S,
)


def evidence(chapter):
    """All numbers in the code and the saved outputs, without their signs."""
    text = "\n".join(c.source + "\n" + "\n".join(c.outputs) for c in chapter.code)
    text = re.sub(r"(?<=\d)[_,](?=\d{3})", "", text)
    return [float(found) for found in re.findall(r"\d+\.?\d*(?:e[-+]?\d+)?", text)]


def supported(found, known):
    """Is a number of the text, rounded as it stands there, among the known ones?"""
    whole, fraction, power, unit = found.groups()
    value = float(whole.replace(",", "") + (fraction or "") + (power or ""))
    places = len(fraction or ".") - 1
    if power:
        return any(abs(value - number) <= 0.05 * value for number in known)
    # A whole number counts something, and is exact; else a half may be rounded either way.
    near = 0.5 * 10**-places + 1e-9 if unit or fraction else 0
    scales = (1, 100) if unit == "%" else (1,)
    return any(abs(number * scale - value) <= near for number in known for scale in scales)


@rule
def numbers(chapter):
    """Decimals, percentages, ratios, integers from 13 stand in a cell or its output, or are cited.

    Cited means: the sentence links to its source, or says that the paper or the reference says so.
    """
    known = evidence(chapter)
    for cell in chapter.texts:
        text = re.sub(r"`([-+\u2212]?[\d.,]+(?:e[-+]?\d+)?)`", r"\1", cell.source)
        text = re.sub(r"^#.*$|<summary>.*?</summary>", "", without_code(text), flags=re.M)
        for sentence in sentences(text):
            if CITED.search(sentence):
                continue
            bare = NAMES.sub(" ", re.sub(r"\]\([^)]*\)|\{,\}", "", sentence))
            for found in NUMBER.finditer(bare):
                whole, fraction, power, unit = found.groups()
                counts = fraction or power or unit or int(whole.replace(",", "")) >= 13
                if counts and not supported(found, known):
                    yield (
                        f"cell {cell.number}: {found[0].strip()} is in no code cell or output, and"
                        f" has no source: {sentence[:100]}"
                    )
