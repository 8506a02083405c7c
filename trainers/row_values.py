"""Single values of a row: text, and lists of chat messages, with what is wrong with bad ones."""

from __future__ import annotations

import json
import math
from typing import Any

from fai_rl.trainers.row_report import BadRow, excerpt

Row = dict[str, Any]
ROLES = {"system", "developer", "user", "assistant", "tool", "function"}
_SHAREGPT_ROLES = {"human": "user", "gpt": "assistant", "bot": "assistant", "chatgpt": "assistant"}
# Keys of a message that templates read and whose absence is no fault; other keys are kept too.
_ALWAYS = ("role", "content", "from", "value")


def text_of(row: Row, column: str) -> str:
    """Return a column's value as text; numbers are written out.

    Raises:
        BadRow: It is missing, null, empty or no text.
    """
    value = row.get(column)
    if isinstance(value, str):
        check_unicode(value, column)
        if not value.strip():
            raise BadRow(f"empty `{column}`", excerpt(row))
        return value
    if value is None:
        raise BadRow(f"null in `{column}`" if column in row else f"no `{column}`", excerpt(row))
    if isinstance(value, float) and not math.isfinite(value):
        raise BadRow(f"{value} in `{column}`", excerpt(row))
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadRow(f"`{column}` holding {_kind(value)}, not text", excerpt(value))
    return str(value)


def check_unicode(text: str, column: str) -> None:
    r"""Refuse half of a surrogate pair, which JSON can write as `\ud83d` and tokenizers can't read.

    Raises:
        BadRow: There is one.
    """
    if not text.isascii():
        try:
            text.encode("utf-8")
        except UnicodeEncodeError as error:
            code = f"\\u{ord(text[error.start]):04x}"
            raise BadRow(
                f"half of a surrogate pair in `{column}`", f"{code} at character {error.start:,}"
            ) from None


def messages_of(value: Any, column: str) -> list[Row]:
    """Return OpenAI-style messages from those, or from ShareGPT's `from` and `value` turns.

    A list written as JSON in a text column, as CSV files have it, is read as well.

    Raises:
        BadRow: It is no list of messages, or a message lacks role or content.
    """
    if value is None:
        raise BadRow(f"null in `{column}`")
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            value = json.loads(value)
        except ValueError as error:
            raise BadRow(f"broken JSON in `{column}`", str(error)) from None
    if not isinstance(value, list):
        raise BadRow(f"`{column}` holding {_kind(value)}, not messages", excerpt(value))
    if not value:
        raise BadRow(f"no message in `{column}`")
    return [_message(message, column) for message in value]


def _message(message: Any, column: str) -> Row:
    if not isinstance(message, dict):
        raise BadRow(f"a message in `{column}` that is {_kind(message)}", excerpt(message))
    role, content = message.get("role"), message.get("content")
    if role is None and content is None and "from" in message:
        role, content = message["from"], message.get("value")
        role = _SHAREGPT_ROLES.get(role, role) if isinstance(role, str) else role
    called = bool(message.get("tool_calls"))
    if role is None or (content is None and not called):
        raise BadRow(
            f"a message in `{column}` without {'role' if role is None else 'content'}",
            f"its keys are {', '.join(map(str, message))}; role and content are wanted",
        )
    if not isinstance(role, str) or role not in ROLES:
        raise BadRow(
            f"an unknown role in `{column}`",
            f"{excerpt(role, 40)}; roles are {', '.join(sorted(ROLES))}",
        )
    content = _joined(content)
    if not isinstance(content, str):
        raise BadRow(f"a message in `{column}` whose content is {_kind(content)}", excerpt(content))
    check_unicode(content, column)
    if role in ("user", "assistant") and not content.strip() and not called:
        raise BadRow(f"an empty {role} turn in `{column}`", excerpt(message))
    kept = {k: v for k, v in message.items() if k not in _ALWAYS and v is not None}
    return {"role": role, "content": content, **kept}


def _joined(content: Any) -> Any:
    """Return the text of `[{"type": "text", "text": …}]`; other contents as they are."""
    if content is None:
        return ""
    if isinstance(content, list) and all(
        isinstance(part, dict) and part.get("type") == "text" and isinstance(part.get("text"), str)
        for part in content
    ):
        return "".join(part["text"] for part in content)
    return content


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", bool: "true or false", str: "text", type(None): ""}
    name = names.get(type(value))
    if name is None:
        article = "an" if type(value).__name__[0] in "aeiou" else "a"
        name = f"{article} {type(value).__name__}"
    return name or "null"
