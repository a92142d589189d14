"""What can keep a sender from sending, each said in one line: commands print `str(error)` and nothing else."""

from __future__ import annotations

from dataclasses import dataclass


class ProducerError(Exception):
    """Nothing, or not everything, could be sent. The message is one line."""

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))


class KeysError(ProducerError):
    """Keys that can't be read, made or registered."""


class OutboxError(ProducerError):
    """An outbox that can't be read or written: no space, another version, damaged."""


class NotNowError(OutboxError):
    """An outbox that can't be written for the time being: no space, or another holds it. What it has is whole."""


class PublishError(ProducerError):
    """The cluster did not take what was sent, within the bound. The outbox still has it."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that was not sent, or will be rejected, and where it comes from; a value, not an exception."""

    where: str
    message: str

    def __str__(self) -> str:
        return f"{self.where}: {self.message}" if self.where else self.message
