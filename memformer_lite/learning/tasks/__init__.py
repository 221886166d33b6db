"""Tasks that need a memory: seeded streams of segments, without any download (chapter 09).

A task draws streams. A stream is a list of `Segment`: the tokens of one time step for a batch of
rows, and what should be answered there, `NOT_ASKED` where nothing is.
"""

from typing import Any

from memformer_lite.learning.tasks.cards import Cards
from memformer_lite.learning.tasks.images import Digits, Rows
from memformer_lite.learning.tasks.parity import Parity
from memformer_lite.learning.tasks.task import NOT_ASKED, AnswerTask, NextTask, Segment, Task
from memformer_lite.learning.tasks.text import Text

TASKS: dict[str, type[Any]] = {task.__name__: task for task in (Cards, Parity, Digits, Rows, Text)}

__all__ = [
    "NOT_ASKED",
    "TASKS",
    "AnswerTask",
    "Cards",
    "Digits",
    "NextTask",
    "Parity",
    "Rows",
    "Segment",
    "Task",
    "Text",
]
