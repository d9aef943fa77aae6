"""Messages."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from uuid import UUID

import pydantic
from pydantic import Field
from uuid_utils.compat import uuid7

from agentmem_store.inputs import Changes, Input, JsonList, JsonObject, Name, Text, Time
from agentmem_store.models.base import JsonDict, JsonItems, Row

__all__ = ["Message", "MessageChanges", "MessageHit", "NewMessage", "Role"]

Role = Literal["user", "assistant", "system", "tool"]
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


class MessageHit(pydantic.BaseModel):
    """A message that a search found.

    Attributes:
        message: the message.
        score: how well it answers; higher is better, comparable within one search only.
        parts: what the score is made of, by name.
    """

    model_config = pydantic.ConfigDict(frozen=True, defer_build=True)

    message: Message
    score: float
    parts: dict[str, float] = Field(default_factory=dict[str, float])

    @pydantic.model_validator(mode="before")
    @classmethod
    def _from_columns(cls, record: dict[str, Any]) -> dict[str, Any]:
        if "message" in record:
            return record
        return {"message": record, "score": record["score"], "parts": {"text": record["score"]}}
