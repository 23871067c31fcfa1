"""What of a text's words is looked for: without Tajik endings, capitals, and the letters that a keyboard may lack.

Pure, and chosen by measurement (decision 0096): plurals, -и, -ро and common possessives go, and what is left of a
question's word is looked for at the beginning of a book's words. It need not be right, only the same for both.
"""

from __future__ import annotations

import re
from collections.abc import Collection

from node.folding import folded

_WORD = re.compile(r"[^\W_]+")
# The longest first. All are written as they are folded: ҳо is хо, қ is к.
_ENDINGS = (
    ("хояшонро", 3), ("хоямонро", 3), ("хояш", 3), ("хоро", 3), ("хои", 3), ("хою", 3), ("хо", 3), ("ашро", 3),
    ("ро", 2), ("аш", 3), ("и", 3), ("у", 3), ("ю", 3),
)  # fmt: skip
LEAST_BEGINNING = 3
"""Letters of a stem that may be a beginning; shorter ones are whole words, as «об» is not «обод»."""
# Words that ask, bind or stand in every sentence, and so say nothing of what is asked about.
_EMPTY_WORDS = frozenset(
    folded(
        "ва ё ки аз бо ба дар то барои чӣ чи чист чиҳо чиро кӣ кист кадом чанд чандто чаро куҷо кай хел тавр гуна "
        "як ин он онҳо вай ӯ ман мо шумо ту аст ҳаст ҳастанд мешавад мешаванд мекунад мекунанд буд шуд шуда шуданд "
        "кард карда мебошад мебошанд ҳам низ бошад баъд пас пеш аммо вале зеро чунки агар на не ҳар ҳама ҳамаи худ "
        "меноманд дорад доранд бораи фаҳмонед шарҳ диҳед нависед салом лозим даркор меояд кунад кунам номида "
        "и в на что как где кто когда почему какой какая какие это он она они не из для по с о "
        "the a an of is are what how why where who when in on to and"
    ).split()
)


def stems_of(text: str) -> list[str]:
    """Return the stem of each word of `text`, in order."""
    return [_stem(word) for word in _WORD.findall(folded(text))]


def asked_stems(question: str) -> list[str]:
    """Return the stems that say what `question` is about, each once; there may be none."""
    words = (word for word in _WORD.findall(folded(question)) if word not in _EMPTY_WORDS)
    return list(dict.fromkeys(_stem(word) for word in words))


def is_among(asked: str, stems: Collection[str]) -> bool:
    """Return whether a text of these `stems` has a word that the stem `asked` stands for."""
    return asked in stems or (len(asked) >= LEAST_BEGINNING and any(stem.startswith(asked) for stem in stems))


def _stem(word: str) -> str:
    for ending, least in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= least:
            return _stem(word.removesuffix(ending))
    return word
