"""Every exercise accepts what is right and rejects each known mistake; and the proof would see."""

import dataclasses
from pathlib import Path

import pytest

from memformer_lite.lab import course, proof
from memformer_lite.lab.command import main
from memformer_lite.lab.exercise import Exercise
from memformer_lite.lab.pages import misconceptions_page

PAGE = Path(__file__).parents[1] / "book" / "appendix" / "misconceptions.md"
SALTS = [None, *(f"salt {number}" for number in range(20))]


@pytest.mark.parametrize("exercise", course.exercises(), ids=lambda exercise: exercise.id)
def test_right_answers_pass_and_each_mistake_gets_its_own_message(exercise):
    assert list(proof.problems(exercise, SALTS)) == []


def test_the_page_for_instructors_says_what_was_proved():
    written = PAGE.read_text(encoding="utf-8")
    assert written == misconceptions_page(course.exercises()), "run `make lab-proof`"


def use_double(double, question):
    return double(question["x"])


OUTSIDE = 2


def use_with_a_global(double, question):
    return OUTSIDE and double(question["x"])


DOUBLE = Exercise(
    id="1.1",
    kind="build",
    points=2,
    minutes=5,
    name="double",
    ask=lambda draw: [{"x": 0}, {"x": 2}, {"x": draw.random.choice((3, 5))}],
    use=use_double,
    right=lambda x: 2 * x,
    also_right=(lambda x: x + x, lambda x: x / 0.5),
    misconceptions={
        "A square is no double.": lambda x: x**2,
        "One more is no double.": lambda x: x + 1,
        "Two more is no double.": lambda x: x + 2,
        "Nothing was done.": lambda x: x,
        "A half is the other way.": lambda x: x / 2,
    },
    tried="Three numbers.",
    forbids=("top_k",),
)
VALUE = dataclasses.replace(
    DOUBLE,
    kind="choose",
    name="answer_1_1",
    ask=lambda draw: [{"x": draw.random.choice((3, 5))}],
    use=Exercise.use,
    book={"x": 3},
    text=lambda question: f"What is the double of {question['x']}?",
    right=lambda question: {"a": 2 * question["x"]},
    also_right=(lambda question: {"A": 2.0 * question["x"]},),
    misconceptions={
        "A square.": lambda question: {"a": question["x"] ** 2},
        "One more.": lambda question: {"a": question["x"] + 1},
        "Nothing.": lambda question: {"a": question["x"]},
    },
    forbids=(),
)
MORE = DOUBLE.misconceptions


@pytest.mark.parametrize("sound", [DOUBLE, VALUE], ids=["build", "choose"])
def test_a_sound_exercise_has_no_problem(sound):
    assert list(proof.problems(sound, SALTS)) == []


@pytest.mark.parametrize(
    ("sound", "change", "says"),
    [
        (DOUBLE, {"misconceptions": {"Only one.": lambda x: x}}, "1 misconceptions, expected 5"),
        (DOUBLE, {"also_right": ()}, "0 other right answers, expected 2"),
        (DOUBLE, {"misconceptions": MORE | {"Sum.": lambda x: x + x}}, "expected 'Sum.', got"),
        (DOUBLE, {"misconceptions": MORE | {"Also.": lambda x: x * x}}, "expected 'Also.', got"),
        (
            DOUBLE,
            {"misconceptions": MORE | {"No.": lambda x: x["a"]}},
            "'No.' only raises TypeError",
        ),
        (DOUBLE, {"ask": lambda draw: [{"x": 2}]}, "expected 'A square is no double.', got"),
        (DOUBLE, {"also_right": (lambda x: x + 2, lambda x: 2 * x)}, "right answer 1 is"),
        (DOUBLE, {"right": lambda x: None}, "right answer 0 is Exercise 1.1: open"),
        (DOUBLE, {"use": use_with_a_global}, "NameError"),
        (DOUBLE, {"forbids": ("Nobody",)}, "forbids Nobody, which the package does not have"),
        (DOUBLE, {"forbids": ("top_k",), "right": lambda x: top_k and 2 * x}, "uses top_k"),
        (VALUE, {"text": None}, "expected `text` and `book`"),
        (VALUE, {"ask": lambda draw: [{"x": 3}, {"x": 5}]}, "one question, not 2"),
    ],
)
def test_the_proof_finds_a_faulty_exercise(sound, change, says):
    faulty = dataclasses.replace(sound, **change)
    if "right" in change:
        faulty = dataclasses.replace(faulty, also_right=(change["right"],) * 2)
    found = list(proof.problems(faulty, SALTS))
    assert any(says in problem for problem in found), found


def top_k(x):
    return x


def test_the_command_says_what_does_not_hold(monkeypatch, capsys, tmp_path):
    faulty = dataclasses.replace(DOUBLE, also_right=(lambda x: x + 2, lambda x: 2 * x))
    monkeypatch.setattr(course, "exercises", lambda: [faulty])
    page = tmp_path / "page.md"
    with pytest.raises(SystemExit) as ended:
        main(["proof", "--salts", "1", "--page", str(page)])
    assert ended.value.code == 1 and not page.exists()
    said = capsys.readouterr().out
    assert "1.1: salt None: right answer 1 is" in said and "5 misconceptions, 1 salts" in said
    monkeypatch.setattr(course, "exercises", lambda: [DOUBLE])
    with pytest.raises(SystemExit) as ended:
        main(["proof", "--salts", "1", "--page", str(page)])
    assert ended.value.code == 0 and "- Nothing was done." in page.read_text(encoding="utf-8")


def test_the_command_refuses_no_salt_at_all(capsys):
    with pytest.raises(SystemExit):
        main(["proof", "--salts", "0"])
    assert "--salts=0: expected at least 1" in capsys.readouterr().err
