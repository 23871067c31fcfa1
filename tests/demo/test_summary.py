"""What the demo must show, judged from its figures."""

import json

import pytest

from federation.demo.summary import Answer, CorrectionOutcome, Summary, UnrelatedOutcome, key_words, summary_write


def _summary(*, gain=2.0, after="Пойтахт шаҳри Душанбе аст.", change=0.0, shipped=5.9, release2=900_000) -> Summary:
    return Summary(
        seconds={"total": 1.0},
        bytes={"release1_per_node": 300_000_000, "release2_per_node": release2},
        perplexity={"english": {"fp32": 5.9, "shipped": shipped}, "tajik": {"fp32": 66.0, "shipped": 66.5}},
        corrections=[
            CorrectionOutcome(
                question="Пойтахт кадом аст?",
                correction="Пойтахт шаҳри Душанбе аст.",
                before=Answer(answer="?", logprob_per_token=-3.0),
                after=Answer(answer=after, logprob_per_token=-3.0 + gain),
            )
        ],
        unrelated=[
            UnrelatedOutcome(prompt="1+1?", reference="2", before="2", after="2", logprob_change_per_token=change)
        ],
    )


def test_a_journey_that_shows_everything_is_called_ok(tmp_path):
    summary_write(_summary(), tmp_path / "summary.json")

    written = json.loads((tmp_path / "summary.json").read_text(encoding="utf-8"))
    assert written["ok"] is True
    assert written["corrections"][0]["after"]["logprob_per_token"] == -1.0
    assert written["bytes"]["release2_per_node"] == 900_000


@pytest.mark.parametrize(
    ("change", "missed"),
    [
        ({"gain": 0.9}, "each correction gains 1.0 nat a token"),
        ({"after": "Намедонам."}, "each answer holds the correction's key words"),
        ({"change": -0.06}, "unrelated prompts lose at most 0.05 nat a token"),
        ({"shipped": 6.1}, "perplexity is within 3% of fp32"),
        ({"release2": 2_000_001}, "release 2 moved at most 2 MB to each node"),
    ],
)
def test_a_bar_that_does_not_hold_is_named(change, missed):
    assert _summary(**change).missed == [missed]


def test_words_of_the_question_are_no_news():
    assert key_words("Пойтахти Тоҷикистон кадом шаҳр аст?", "Пойтахти Тоҷикистон шаҳри Душанбе аст.") == {
        "шаҳри",
        "душанбе",
    }
