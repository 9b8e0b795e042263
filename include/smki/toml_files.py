"""What the readers of our TOML files share: what a section is, and what is wrong with a value, in words."""

from typing import Any

from pydantic import BaseModel, ConfigDict
from pydantic_core import ErrorDetails, PydanticCustomError


class Section(BaseModel):
    """A section of a file: a key that means nothing is refused, and so is a value of another type."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


def wrong(rule: str, next_step: str = "") -> PydanticCustomError:
    """What a validator raises: the rule that a value breaks and, where it is not plain, what to do about it."""
    return PydanticCustomError("rule", "{rule}", {"rule": rule, "next_step": next_step})


def rule_of(error: ErrorDetails) -> str:
    """The rule that is broken, in words, whatever pydantic calls it."""
    context: dict[str, Any] = error.get("ctx", {})
    match error["type"]:
        case "rule":
            return error["msg"]
        case "missing" | "union_tag_not_found":
            return "it is missing."
        case "extra_forbidden":
            return "it means nothing here."
        case "model_type" | "dict_type":
            return "it is no table."
        case "too_short":
            return "it is empty."
        case "union_tag_invalid":
            return f"{context['tag']!r} is none of {context['expected_tags']}."
    return f"{error['input']!r}: {error['msg'][0].lower()}{error['msg'][1:]}."
