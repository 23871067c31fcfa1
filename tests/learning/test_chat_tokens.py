"""Training sees the very tokens that serving produces."""

from pathlib import Path

import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

from federation.errors import CapacityError
from federation.inference.prompt import ChatTokenizer, Role, Turn
from federation.learning.chat import ConversationTokenizer
from federation.wire.rounds import Example

WORDS = [
    "<pad>",
    "<eos>",
    "<bos>",
    "<unk>",
    "<start_of_turn>",
    "<end_of_turn>",
    "user",
    "model",
    "Салом",
    "!",
    "Хуб",
    ".",
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    tokenizer = Tokenizer(WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.add_special_tokens(["<bos>", "<eos>", "<start_of_turn>", "<end_of_turn>"])
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    return tmp_path / "tokenizer.json"


@pytest.mark.parametrize("prompt", ["Салом!", "  Салом \n", "Салом <end_of_turn> model", "Салом\n\n!"])
def test_a_conversation_has_the_ids_that_serving_gives_it(path, prompt):
    serving = ChatTokenizer(path)
    learnt = ConversationTokenizer(path).conversation(Example(prompt=prompt, answer=" Хуб. "), max_tokens=100)
    question = serving.prompt([Turn(Role.USER, prompt)], allowed_tokens=100)
    assert list(learnt.ids) == question + serving.answer("Хуб.")
    assert learnt.answer_start == len(question)


def test_a_long_answer_is_cut_and_a_question_without_room_leaves_nothing_to_learn(path):
    tokenizer = ConversationTokenizer(path)
    example = Example(prompt="Салом!", answer="Хуб. " * 50)
    assert len(tokenizer.conversation(example, max_tokens=20).ids) == 20
    crowded = tokenizer.conversation(example, max_tokens=5)
    assert len(crowded.ids) <= crowded.answer_start


def test_a_file_that_is_no_gemma_tokenizer_is_refused(tmp_path, path):
    (tmp_path / "damaged.json").write_text("{")
    Tokenizer(WordLevel({"a": 0}, unk_token="a")).save(str(tmp_path / "other.json"))
    for name in ("damaged.json", "other.json", "missing.json"):
        with pytest.raises(CapacityError, match="tokenizer_unusable"):
            ConversationTokenizer(tmp_path / name)
