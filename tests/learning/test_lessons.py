"""Which lessons a school's labels are."""

import pytest
from tokenizers import Tokenizer
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel

from federation.learning.chat import ConversationTokenizer
from federation.learning.lessons import MAX_TOKENS, Lessons, anchors_make, lessons_make
from federation.wire.labels import LabelKind, TeacherLabel
from federation.wire.rounds import Example, Objective
from tests.tiny_checkpoint import CONTROLS

BOTH = Objective(preference=1.0, ratings=1.0, beta=0.1)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory) -> ConversationTokenizer:
    path = tmp_path_factory.mktemp("words") / "tokenizer.json"
    pieces = [*CONTROLS, *sorted(ByteLevel.alphabet())]
    made = Tokenizer(BPE({piece: place for place, piece in enumerate(pieces)}, [], unk_token="<unk>"))
    made.pre_tokenizer = ByteLevel(add_prefix_space=False)
    made.add_special_tokens(CONTROLS)
    made.save(str(path))
    return ConversationTokenizer(path)


def label(
    prompt: str, *, answer: str = "Не.", correction: str = "", kind=LabelKind.CORRECTION, held=False
) -> TeacherLabel:
    return TeacherLabel(kind=kind, prompt=prompt, answer=answer, correction=correction, is_held_out=held)


LABELS = [
    label("Як?", correction="Ду."),
    label("Ду?", correction="Се.", answer="Се."),
    label("Се?", correction="Чор.", answer=" "),
    label("Чор?", correction="Панҷ.", held=True),
    label("Панҷ?", kind=LabelKind.GOOD, answer="Шаш."),
    label("Шаш?", kind=LabelKind.BAD, answer="Ҳафт."),
]


def made(tokenizer, objective: Objective = BOTH, labels=LABELS) -> Lessons:
    return lessons_make(labels, tokenizer=tokenizer, objective=objective)


def words(tokenizer, prompt: str, answer: str):
    return tokenizer.conversation(Example(prompt=prompt, answer=answer), max_tokens=MAX_TOKENS)


def test_a_correction_is_compared_with_the_answer_that_was_given_unless_that_is_empty_or_the_same(tokenizer):
    lessons = made(tokenizer)
    assert [lesson.wanted for lesson in lessons.corrections] == [
        words(tokenizer, prompt, answer) for prompt, answer in (("Як?", "Ду."), ("Ду?", "Се."), ("Се?", "Чор."))
    ]
    assert [lesson.given for lesson in lessons.corrections] == [words(tokenizer, "Як?", "Не."), None, None]
    assert lessons.count == 5


def test_what_the_objective_leaves_out_is_not_learnt_and_what_is_held_out_is_compared_all_the_same(tokenizer):
    lessons = made(tokenizer, Objective(preference=0.0, ratings=0.0, beta=0.1))
    assert [lesson.given for lesson in lessons.corrections] == [None] * 3
    assert (lessons.rated, lessons.count) == ((), 3)
    (held,) = lessons.held_out
    assert (held.wanted, held.given) == (words(tokenizer, "Чор?", "Панҷ."), words(tokenizer, "Чор?", "Не."))
    assert held.wanted not in lessons.conversations


def test_each_rated_answer_has_anothers_for_its_own_question(tokenizer):
    good, bad = made(tokenizer).rated
    assert (good.is_good, good.conversation) == (True, words(tokenizer, "Панҷ?", "Шаш."))
    assert (bad.is_good, bad.conversation) == (False, words(tokenizer, "Шаш?", "Ҳафт."))
    assert good.elsewhere == words(tokenizer, "Панҷ?", "Ҳафт.")
    assert bad.elsewhere == words(tokenizer, "Шаш?", "Шаш.")
    (alone,) = made(tokenizer, labels=LABELS[4:5]).rated
    assert alone.elsewhere is None


def test_a_school_without_corrections_is_measured_by_what_it_found_good(tokenizer):
    assert made(tokenizer, labels=LABELS[4:]).wanted == (words(tokenizer, "Панҷ?", "Шаш."),)
    assert made(tokenizer).wanted == tuple(lesson.wanted for lesson in made(tokenizer).corrections)


def test_a_question_that_leaves_no_room_for_an_answer_teaches_nothing(tokenizer):
    long = "х" * MAX_TOKENS
    labels = [label(long, correction="Ду."), label(long, kind=LabelKind.GOOD), *LABELS[:1]]
    assert made(tokenizer, labels=labels).count == 1
    anchors = [Example(prompt=long, answer="Ду."), Example(prompt="Як?", answer="Ду.")]
    assert anchors_make(anchors, tokenizer=tokenizer) == (words(tokenizer, "Як?", "Ду."),)
