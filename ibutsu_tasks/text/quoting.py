"""Text from outside as a sentence of ours quotes it: whole where it is short, else its beginning."""

from __future__ import annotations

QUOTED_CHARACTERS = 60


def cut(text: str, most_characters: int = QUOTED_CHARACTERS) -> str:
    """Give the text, or its beginning with an ellipsis: at most `most_characters` in all."""
    return text if len(text) <= most_characters else f"{text[: most_characters - 1]}…"
