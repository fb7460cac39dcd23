"""Texts of a fixed form: a refusal shows a sentence instead of the regular expression."""

from __future__ import annotations

import re
from collections.abc import Callable


def pattern_validator(pattern: str, sentence: str) -> Callable[[str], str]:
    """Return a validator that accepts a text matching the whole pattern, and refuses others with the sentence."""
    compiled = re.compile(pattern, re.ASCII)

    def check(text: str) -> str:
        if compiled.fullmatch(text) is None:
            raise ValueError(sentence)
        return text

    return check
