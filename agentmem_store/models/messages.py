"""Messages."""

from __future__ import annotations

from typing import Annotated, Any, Literal, cast
from uuid import UUID

import pydantic
import pydantic_core
from pydantic import BeforeValidator, Field
from uuid_utils.compat import uuid7

from agentmem_store.inputs import Changes, Input, JsonList, JsonObject, Name, Text, Time
from agentmem_store.models.base import JsonDict, JsonItems, Row
from agentmem_store.models.memories import MetadataFilter

__all__ = [
    "Message",
    "MessageChanges",
    "MessageFilter",
    "MessageHit",
    "Neighbours",
    "NewMessage",
    "RankedMessage",
    "Role",
    "SurroundingTurns",
]

Role = Literal["user", "assistant", "system", "tool"]
Weight = Annotated[float, Field(ge=0, le=10, allow_inf_nan=False)]
TokenCount = Annotated[int, Field(ge=0, le=2**31 - 1)]


class Message(Row):
    """What was said to or by an agent.

    Attributes:
        agent_id: whose conversation it is in.
        seq: its place in that conversation, from 1, in the order of commits. Removal leaves holes; none is reused.
        user_id: the user it was exchanged with.
        group_id: the thread it belongs to.
        role: user, assistant, system or tool.
        name: the speaker's name.
        text: what was said.
        content: the parts of a multi-part message.
        model: the model that wrote it.
        tool_calls: tools it asks to call.
        tool_call_id: the call that it answers.
        tool_returns: what tools gave back.
        step_id: the step of the agent's run.
        otid: the id the client gave it before it was stored.
        sender_id: who sent it, in the application's terms.
        token_count: how many tokens it is to the application's model; None where it was not said.
        language: how its text is stemmed for search; the organization's when it was stored.
        metadata: the application's own.
    """

    agent_id: UUID
    seq: int
    user_id: UUID | None
    group_id: str | None
    role: Role
    name: str | None
    text: str | None
    content: JsonItems | None
    model: str | None
    tool_calls: JsonItems | None
    tool_call_id: str | None
    tool_returns: JsonItems | None
    step_id: str | None
    otid: str | None
    sender_id: str | None
    token_count: int | None
    language: str
    metadata: JsonDict

    def searched(self) -> dict[str, str]:
        """Return what a search looks at: `name`, `text` and, for each part N of the content with text, `content.N`."""
        parts = {f"content.{place}": _part_text(part) for place, part in enumerate(self.content or [])}
        texts = {"name": self.name, "text": self.text, **parts}
        return {field: text for field, text in texts.items() if isinstance(text, str) and text}


def _part_text(part: Any) -> Any:
    return cast("dict[str, Any]", part).get("text") if isinstance(part, dict) else part


class NewMessage(Input):
    """A message to append. See `Message`; `created_at` is when it was said, by default the time of storing."""

    id: UUID = Field(default_factory=uuid7)
    role: Role
    text: Text | None = None
    content: JsonList | None = None
    name: Name | None = None
    user_id: UUID | None = None
    group_id: Name | None = None
    model: Name | None = None
    tool_calls: JsonList | None = None
    tool_call_id: Name | None = None
    tool_returns: JsonList | None = None
    step_id: Name | None = None
    otid: Name | None = None
    sender_id: Name | None = None
    token_count: TokenCount | None = None
    metadata: JsonObject = Field(default_factory=dict[str, Any])
    created_at: Time | None = None


class MessageChanges(Changes):
    """Changes to a message: what is set is written, None as NULL. Who said it when, and its place, stay."""

    text: Text | None = None
    content: JsonList | None = None
    name: Name | None = None
    model: Name | None = None
    tool_calls: JsonList | None = None
    tool_call_id: Name | None = None
    tool_returns: JsonList | None = None
    step_id: Name | None = None
    token_count: TokenCount | None = None
    metadata: JsonObject = Field(default_factory=dict[str, Any])


class Neighbours(Input):
    """How much a message's score counts for the messages beside it, of the same user and group.

    The answer to a query often stands in the turn after the one that names its subject. A message two places away gets
    a quarter. With both weights 0 each message stands for itself.

    Attributes:
        after: what part of its score a message gives to the next one.
        before: what part it gives to the one before it.
        question: how many times more the next one gets from a message that ends with a question mark.
    """

    after: Weight = 0.4
    before: Weight = 0.2
    question: Weight = 2.0


class MessageFilter(Input):
    """Which messages a search may find. All that is given must hold; the messages beside them are not bound by it.

    Attributes:
        role: only messages of this role.
        since: only messages said at this time or later.
        until: only messages said before this time.
        metadata: only messages whose metadata matches.
    """

    role: Role | None = None
    since: Time | None = None
    until: Time | None = None
    metadata: MetadataFilter | None = None


class MessageHit(pydantic.BaseModel):
    """A message that a search found.

    Attributes:
        message: the message.
        score: how well it answers; higher is better, comparable within one search only.
        parts: what the score is the sum of: `text` is its own, `neighbours` what the messages beside it gave; of a
            search with an embedding also `vector` and `recency`.
        highlights: where the words asked for stand: under `name`, `text` and `content.N` for the text of part N (from
            0), as (start, end) in characters; only where they do, and empty if not asked for.
        before: the visible messages of the same user and group just before it, oldest first, as many as asked for.
        after: those just after it, oldest first.
    """

    model_config = pydantic.ConfigDict(frozen=True, defer_build=True)

    message: Message
    score: float
    parts: dict[str, float]
    highlights: dict[str, list[tuple[int, int]]] = Field(default_factory=dict[str, list[tuple[int, int]]])
    before: list[Message] = Field(default_factory=list[Message])
    after: list[Message] = Field(default_factory=list[Message])


class RankedMessage(pydantic.BaseModel):
    """The row of a search: a message, its score with what the messages beside it gave, and its own.

    With an embedding also what its own is the sum of; NULL where it has none of its own.
    """

    model_config = pydantic.ConfigDict(frozen=True, defer_build=True)

    message: Message
    score: float
    own: float
    of_text: float | None = None
    of_vector: float | None = None
    of_importance: float | None = None
    of_recency: float | None = None

    @pydantic.model_validator(mode="before")
    @classmethod
    def _from_columns(cls, record: dict[str, Any]) -> dict[str, Any]:
        return {**record, "message": record}

    def hit(self) -> MessageHit:
        """Return it as a search does."""
        parts = {"text": self.own, "neighbours": self.score - self.own}
        if "of_text" in self.model_fields_set:
            own = {"text": self.of_text, "vector": self.of_vector, "recency": self.of_recency}
            parts |= {name: part or 0.0 for name, part in own.items()}
        return MessageHit(message=self.message, score=self.score, parts=parts)


class SurroundingTurns(pydantic.BaseModel):
    """The messages before and after one, oldest first."""

    model_config = pydantic.ConfigDict(frozen=True, defer_build=True)

    id: UUID
    before: Annotated[list[Message], BeforeValidator(pydantic_core.from_json)]
    after: Annotated[list[Message], BeforeValidator(pydantic_core.from_json)]
