"""Texts of a fixed form, refused with a sentence rather than with a regular expression."""

from __future__ import annotations

import re
from collections.abc import Callable


def fitting(pattern: str, sentence: str) -> Callable[[str], str]:
    """A validator: takes a text that fits the pattern as a whole, refuses any other with the sentence."""
    compiled = re.compile(pattern, re.ASCII)

    def check(text: str) -> str:
        if compiled.fullmatch(text) is None:
            raise ValueError(sentence)
        return text

    return check
