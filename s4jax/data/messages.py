"""Parts of messages about data."""

import difflib
from collections.abc import Iterable


def near(name: str, known: Iterable[str]) -> str:
    """The end of a message about an unknown name: up to three known ones that resemble it."""
    found = difflib.get_close_matches(name, list(known), 3)
    return f'; near: {", ".join(found)}' if found else ''


def first_few(unreadable: dict[str, str], most: int = 3) -> str:
    """The first few unreadable images with their reasons, in one line."""
    few = '; '.join(f'{name} ({reason})' for name, reason in list(unreadable.items())[:most])
    return few + (f' and {len(unreadable) - most:,} more' if len(unreadable) > most else '')
