"""The rules of the book, each a function from a `Chapter` to what is wrong with it.

A rule yields sentences, none if the chapter keeps it. `tests/test_book.py` holds every chapter to
every rule; `tests/test_book_rules.py` shows each rule a chapter that breaks it.
"""

import importlib

from book_rules.chapter import ROOT, RULES, Chapter

for part in ("form", "prose", "numbers", "exercises", "code"):
    importlib.import_module(f"book_rules.{part}")

__all__ = ["ROOT", "RULES", "Chapter"]
