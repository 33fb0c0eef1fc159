"""Text of strangers as it may be shown: no character that a terminal or a page acts on."""

import contextlib

MOST = 2_000


def text(value, lines=True, most=MOST):
    """A text with its control characters escaped, and cut.

    Args:
        value: what is shown by its `str`.
        lines: whether line ends stay.
        most: characters that are shown.
    """
    value = str(value)
    cut = f"... ({len(value):,} characters)" if len(value) > most else ""
    return "".join(_shown(character, lines) for character in value[:most]) + cut


def markup(value):
    """Parsed JSON whose texts may stand in Markdown: no tag, no line end, no control character."""
    if isinstance(value, dict):
        return {key: markup(item) for key, item in value.items()}
    if isinstance(value, list):
        return [markup(item) for item in value]
    if isinstance(value, str):
        return text(value, lines=False, most=len(value)).replace("<", "&lt;")
    return value


def _shown(character, lines):
    if character.isprintable() or lines and character == "\n":
        return character
    return character.encode("unicode_escape").decode("ascii")


def clean(error):
    """Escapes the texts of an error and of those behind it, in place."""
    seen = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        if error.args and all(isinstance(part, (str, int)) for part in error.args):
            error.args = tuple(text(p) if isinstance(p, str) else p for p in error.args)
        error = error.__cause__ or error.__context__


@contextlib.contextmanager
def errors():
    """Escapes the texts of an error that leaves the block, or the decorated function."""
    try:
        yield
    except Exception as error:
        clean(error)
        raise
