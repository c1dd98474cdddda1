"""What people do in the chats: say something, press a button."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """Somebody wrote a message: a command, perhaps."""

    id: int
    """The update's number: ask for what came after it."""
    chat: str
    """The chat's id."""
    chat_name: str
    """Its `@name`, where it has one."""
    thread_id: int | None
    message_id: int
    user_id: int | None
    """None: a channel's own."""
    user_name: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Pressed:
    """Somebody pressed a button of a message of ours."""

    id: int
    callback_id: str
    """For the answer that ends the button's waiting."""
    chat: str
    """The chat's id; '': too long ago to tell."""
    chat_name: str
    """Its `@name`, where it has one."""
    message_id: int
    user_id: int
    user_name: str
    action: str
    """The button's, as it was sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Other:
    """Anything else."""

    id: int


Update = Said | Pressed | Other
