"""Packages that only parts of this one need: an error that says what installs them."""

from collections.abc import Iterator
from contextlib import contextmanager


class MissingExtraError(ImportError):
    """A package is missing that an extra of memformer-lite brings."""


@contextmanager
def extra(name: str) -> Iterator[None]:
    """Name the extra in the error of an import that fails inside the `with` block."""
    try:
        yield
    except ModuleNotFoundError as fault:
        if fault.name is not None and fault.name.split(".")[0] == "memformer_lite":
            raise
        message = f"{fault}: pip install 'memformer-lite[{name}]' brings it"
        raise MissingExtraError(message, name=fault.name) from fault
