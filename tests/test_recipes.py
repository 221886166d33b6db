"""A recipe is data: checked when it is made, and the same after a way through JSON."""

import copy
import dataclasses
import json

import pytest
import torch
from helpers import INF, NAN, refused, whole

from memformer_lite.learning.recipes import RECIPES, Recipe, Stage, from_plain, to_plain
from memformer_lite.learning.tasks import TASKS, Cards, Digits, Parity, Rows, Text
from memformer_lite.learning.train import Run

CARDS = Stage(Cards(), steps=3, segments=(2, 5))
LONG = Stage(Cards(write_probability=(0.1, 0.3), ask_fresh=True), steps=7, segments=(11, 11))
# No option has its default, so that none can be left out unseen.
ODD = Recipe(
    stages=(CARDS, LONG),
    dim=30,
    heads=3,
    slots=7,
    update="bmn",
    temperature=0.7,
    feed_forward=True,
    slot_scale=0.3,
    keep_bias=-1.5,
    unit_scores=False,
    dropout=0.1,
    use_memory=False,
    detach_every=2,
    batch_size=13,
    learning_rate=1e-2,
    warmup=5,
    weight_decay=0.2,
    clip=0.4,
    stop_at=0.9,
    score_every=17,
)
ALL = {**RECIPES, "odd": ODD, "replay": Recipe(stages=(CARDS,), method="mrbp")}


def through_json(plain):
    return json.loads(json.dumps(plain, allow_nan=False))


@pytest.mark.parametrize("recipe", ALL.values(), ids=ALL.keys())
def test_a_recipe_is_the_same_after_a_way_through_json(recipe):
    again = from_plain(through_json(to_plain(recipe)))
    assert again == recipe
    assert [type(stage.task) for stage in again.stages] == [type(s.task) for s in recipe.stages]
    assert hash(again) == hash(recipe)


@pytest.mark.parametrize("recipe", ALL.values(), ids=ALL.keys())
def test_plain_data_compare_equal_to_what_is_read_from_a_file(recipe):
    """A record or a checkpoint is compared with the present code in this form."""
    assert to_plain(recipe) == through_json(to_plain(recipe))


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(Recipe)])
def test_plain_data_hold_every_option(name):
    given = {"method": "mrbp", "detach_every": None}.get(name, getattr(ODD, name))
    default = next(f.default for f in dataclasses.fields(Recipe) if f.name == name)
    assert given != default or name == "detach_every", "a default proves nothing"
    changed = dataclasses.replace(ALL["replay"], **{name: given})
    assert getattr(from_plain(through_json(to_plain(changed))), name) == given


def test_every_task_can_be_written_down():
    for name, task in TASKS.items():
        stage = Stage(task(), steps=1, segments=(8, 8))
        plain = through_json(to_plain(Recipe(stages=(stage,))))
        assert plain["stages"][0]["task"]["name"] == name
        assert type(from_plain(plain).task) is task


def broken(change):
    plain = through_json(to_plain(ODD))
    change(plain)
    return plain


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda p: p.update(unknown=1), "unknown"),
        (lambda p: p.pop("stages"), "stages"),
        (lambda p: p.update(stages=[]), "stages"),
        (lambda p: p["stages"][0].update(unknown=1), "unknown"),
        (lambda p: p["stages"][0].pop("steps"), "steps"),
        (lambda p: p["stages"][0].pop("task"), "task"),
        (lambda p: p["stages"][0]["task"].update(unknown=1), "unknown"),
        (lambda p: p["stages"][0]["task"].update(name="Evil"), "Evil"),
        (lambda p: p["stages"][0]["task"].pop("name"), "name"),
        (lambda p: p["stages"][0]["task"].update(keys=0), "keys"),
        (lambda p: p["stages"][0].update(steps=0), "steps"),
        (lambda p: p.update(batch_size=-1), "batch_size"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_plain_data_that_are_no_recipe_are_refused_by_name(change, named):
    with pytest.raises((KeyError, TypeError, ValueError), match=named):
        from_plain(broken(change))


@pytest.mark.parametrize(
    "plain", [None, 3, [], "x", {}, {"stages": None}, {"stages": [3]}], ids=str
)
def test_other_data_are_refused_as_promised(plain):
    with pytest.raises((KeyError, TypeError, ValueError)):
        from_plain(plain)


@pytest.mark.parametrize("task", [None, 3, [], "Cards"], ids=str)
def test_a_task_that_is_no_object_is_refused_as_promised(task):
    with pytest.raises((KeyError, TypeError, ValueError)):
        from_plain(broken(lambda p: p["stages"][0].update(task=task)))


def test_reading_plain_data_leaves_them_as_they_were():
    plain = through_json(to_plain(ODD))
    before = copy.deepcopy(plain)
    from_plain(plain)
    assert plain == before


POSITIVE = [(0.0, ValueError), (NAN, ValueError), (INF, ValueError)]


@pytest.mark.parametrize(
    ("name", "value", "kind"),
    [
        ("stages", (), ValueError),
        *whole("batch_size", 0, -1),
        *whole("warmup", 0),
        *whole("score_every", 0),
        ("detach_every", 0, ValueError),
        ("detach_every", 1.0, TypeError),
        ("detach_every", True, TypeError),
        ("method", "rtrl", ValueError),
        ("method", None, ValueError),
        *[
            (name, value, kind)
            for name in ("learning_rate", "clip", "slot_scale")
            for value, kind in POSITIVE
        ],
        *[(name, 1, TypeError) for name in ("unit_scores", "use_memory")],
    ],
    ids=str,
)
def test_a_recipe_refuses_an_option(name, value, kind):
    refused(kind, lambda: Recipe(**{"stages": (CARDS,), name: value}), name, "expected")


@pytest.mark.parametrize(
    ("name", "value", "kind"),
    [
        *whole("dim", 0),
        ("dim", 33, ValueError),
        *whole("heads", 0),
        *whole("slots", 0),
        ("update", "lstm", ValueError),
        ("temperature", 0.0, ValueError),
        ("dropout", 1.0, ValueError),
        ("feed_forward", 1, TypeError),
        ("weight_decay", -0.1, ValueError),
        ("weight_decay", NAN, ValueError),
        ("weight_decay", "0", TypeError),
        ("keep_bias", NAN, ValueError),
        ("keep_bias", "1", TypeError),
        ("stop_at", NAN, ValueError),
        ("stop_at", "1", TypeError),
    ],
    ids=str,
)
def test_what_no_training_could_use_is_refused_before_it_starts(name, value, kind):
    """By the recipe itself or by the model, whose name for it may be longer."""
    with pytest.raises((TypeError, ValueError)) as caught:
        Run(Recipe(**{"stages": (CARDS,), name: value}))
    assert caught.type is kind and name in str(caught.value), f"{name} in {caught.value}"


@pytest.mark.parametrize(
    "stages", [None, CARDS, [CARDS], ("cards",)], ids=["None", "stage", "list", "name"]
)
def test_stages_are_a_tuple_of_stages(stages):
    """A list would not compare equal with the recipe that a checkpoint gives back."""
    refused(TypeError, lambda: Recipe(stages=stages), "stages", "expected")


def test_truncation_is_not_combined_with_replay():
    refused(
        ValueError,
        lambda: Recipe(stages=(CARDS,), method="mrbp", detach_every=2),
        "detach_every",
        "mrbp",
    )


@pytest.mark.parametrize(
    ("name", "value", "kind"),
    [
        *whole("steps", 0, -1),
        ("segments", (0, 3), ValueError),
        ("segments", (3, 2), ValueError),
        ("segments", (1.0, 2), TypeError),
        ("segments", (1, 2.0), TypeError),
        ("segments", (True, 2), TypeError),
        ("segments", 6, TypeError),
        ("segments", None, TypeError),
        ("segments", (), ValueError),
        ("segments", (6,), ValueError),
        ("segments", (1, 2, 3), ValueError),
        ("segments", [6, 6], TypeError),
        ("task", None, TypeError),
        ("task", Cards, TypeError),
    ],
    ids=str,
)
def test_a_stage_refuses_an_option(name, value, kind):
    options = {"task": Cards(), "steps": 3, "segments": (2, 5), name: value}
    refused(kind, lambda: Stage(**options), name, "expected")


def test_stages_of_tasks_with_other_tokens_are_refused():
    """One model must read all stages, and a token must mean the same in each."""
    for other in (Cards(keys=2), Cards(values=5), Cards(noise=1), Parity()):
        stage = Stage(other, steps=3, segments=(2, 5))
        refused(ValueError, lambda stage=stage: Recipe(stages=(stage, CARDS)), "stages")


def test_steps_fall_into_stages_one_after_the_other():
    other = Stage(Cards(max_cards=2), steps=1, segments=(3, 3))
    recipe = Recipe(stages=(CARDS, other, LONG))
    assert recipe.steps == 11 and recipe.task == LONG.task
    expected = [CARDS] * 3 + [other] + [LONG] * 7
    assert [recipe.stage(step) for step in range(11)] == expected
    assert recipe.stage(99) == LONG


def test_a_recipe_cannot_be_changed():
    for thing, name in ((ODD, "dim"), (CARDS, "steps"), (Cards(), "keys")):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(thing, name, 5)


def test_the_recipes_of_the_book_train_what_their_names_say():
    tasks = {name: type(recipe.task) for name, recipe in RECIPES.items()}
    assert tasks == {
        "cards": Cards,
        "stories": Cards,
        "parity": Parity,
        "digits": Digits,
        "rows": Rows,
        "text": Text,
    }
    for name, recipe in RECIPES.items():
        assert recipe.use_memory and recipe.detach_every is None, name
        for stage in recipe.stages:
            for segments in stage.segments:
                stage.task.stream(2, segments, generator=torch.Generator())
            assert getattr(stage.task, "split", "train") == "train", f"{name} trains on the test"


@dataclasses.dataclass(frozen=True)
class Odd(Cards):
    extra: object = frozenset()


@pytest.mark.parametrize(
    "extra", [frozenset({1}), torch.ones(1), print], ids=lambda x: str(type(x))
)
def test_a_task_with_more_than_plain_data_is_refused_when_it_is_written(extra):
    recipe = Recipe(stages=(Stage(Odd(extra=extra), steps=1, segments=(2, 2)),))
    with pytest.raises(
        TypeError, match=f"expected plain data in its tasks, got {type(extra).__name__}"
    ):
        to_plain(recipe)
