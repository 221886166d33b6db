"""Sphinx extension: a widget of the package on a Markdown page, without a kernel.

```{widget} MemoryExplorer
```
"""

from docutils import nodes
from sphinx.util.docutils import SphinxDirective


class WidgetDirective(SphinxDirective):
    required_arguments = 1

    def run(self):
        from memformer_lite import widgets  # not before it is needed: it brings torch

        name = self.arguments[0]
        if name not in widgets.__all__:
            raise self.error(f"widget={name!r}: expected one of {', '.join(widgets.__all__)}")
        return [nodes.raw("", getattr(widgets, name).example()._repr_html_(), format="html")]


def setup(app):
    app.add_directive("widget", WidgetDirective)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
