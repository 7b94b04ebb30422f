"""A mail transaction as it grows: who sends what to whom, until it is a message (RFC 5321 §3.3)."""

from __future__ import annotations

import google_crc32c

from nightmail.journal.records import BodyPlace
from nightmail.journal.segment import INLINE_BODY_BYTES
from nightmail.mail.envelope import Envelope, Recipient
from nightmail.routing.snapshot import Accepted
from nightmail.smtp.events import BodyEnded, MailReceived, RcptReceived
from nightmail.switch.aside import Aside


class Transaction:
    """What one MAIL command began. `recipients` are final ones, each address once."""

    __slots__ = ("_mail", "_pieces", "_size_bytes", "aside", "message_id", "recipients")

    def __init__(self, mail: MailReceived, message_id: str) -> None:
        self._mail = mail
        self._pieces: list[bytes] = []
        self._size_bytes = 0
        self.message_id = message_id
        self.recipients: dict[str, Recipient] = {}
        self.aside: Aside | None = None

    @property
    def smtputf8(self) -> bool:
        """Whether the client asked for SMTPUTF8."""
        return self._mail.smtputf8

    def add(self, rcpt: RcptReceived, accepted: Accepted) -> None:
        """Take in the final recipients of one RCPT command; who is there already gets no second copy."""
        for address in accepted.recipients:
            if address not in self.recipients:
                self.recipients[address] = Recipient(address, rcpt.orcpt, rcpt.notify, accepted.orig_to)

    def sole_recipient(self) -> str:
        """The only recipient's address, or empty where there are several."""
        return next(iter(self.recipients)) if len(self.recipients) == 1 else ""

    def write(self, data: bytes) -> bool:
        """Take in a piece of the message. True: it has become too large for a segment and wants an `aside`."""
        if self.aside is not None:
            self.aside.write([data])
            return False
        self._pieces.append(data)
        self._size_bytes += len(data)
        return self._size_bytes > INLINE_BODY_BYTES

    def divert(self, aside: Aside) -> None:
        """From here on the message goes into an object of its own, beginning with what came so far."""
        self.aside = aside
        aside.write(self._pieces)
        self._pieces = []

    def data(self) -> tuple[bytes, BodyPlace]:
        """The whole message, where it is not aside."""
        data = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
        return data, BodyPlace(len(data), google_crc32c.value(data))

    def envelope(self, ended: BodyEnded, client: str) -> Envelope:
        """The envelope, once the message is complete."""
        mail = self._mail
        recipients = tuple(self.recipients.values())
        # Headers with 8-bit bytes from a client that does not speak SMTPUTF8 ask nothing of the next hop either.
        utf8 = (
            (mail.smtputf8 and ended.utf8_headers)
            or not mail.sender.isascii()
            or not all(map(str.isascii, self.recipients))
        )
        return Envelope(mail.sender, recipients, mail.ret, mail.envid, ended.eight_bit, utf8, client)
