"""The service extensions of ESMTP: which ones we announce, and which ones a peer does (RFC 5321 §4.1.1.1)."""

from __future__ import annotations

import msgspec

from nightmail.mail.reply import Reply
from nightmail.smtp.settings import SmtpSettings


def announced(settings: SmtpSettings) -> tuple[str, ...]:
    """The lines that follow the first one of the answer to EHLO or LHLO. STARTTLS and AUTH will be added here."""
    return (
        "PIPELINING",
        f"SIZE {settings.message_size_limit_bytes}",
        "8BITMIME",
        "SMTPUTF8",
        "CHUNKING",
        "DSN",
        "ENHANCEDSTATUSCODES",
        f"LIMITS RCPTMAX={settings.recipient_limit}",
        "HELP",
    )


class Extensions(msgspec.Struct, frozen=True):
    """What a peer can do. A limit is None where the peer stated none.

    `parameters` holds everything announced, by keyword in upper case, for extensions not named here.
    """

    pipelining: bool = False
    eight_bit_mime: bool = False
    smtputf8: bool = False
    chunking: bool = False
    dsn: bool = False
    size: bool = False
    size_limit_bytes: int | None = None
    mail_max: int | None = None
    rcpt_max: int | None = None
    rcpt_domain_max: int | None = None
    parameters: dict[str, str] = {}

    @classmethod
    def parse(cls, reply: Reply) -> Extensions:
        """What the lines of a positive answer to EHLO or LHLO say; lines that say nothing known are no harm."""
        parameters: dict[str, str] = {}
        for line in reply.text.split("\n")[1:]:
            keyword, _, rest = line.strip().partition(" ")
            parameters.setdefault(keyword.upper(), rest.strip())
        limits = dict(word.upper().partition("=")[::2] for word in parameters.get("LIMITS", "").split())
        return cls(
            pipelining="PIPELINING" in parameters,
            eight_bit_mime="8BITMIME" in parameters,
            smtputf8="SMTPUTF8" in parameters,
            chunking="CHUNKING" in parameters,
            dsn="DSN" in parameters,
            size="SIZE" in parameters,
            size_limit_bytes=_positive(parameters.get("SIZE")),  # RFC 1870 §4: none or 0 states no limit
            mail_max=_positive(limits.get("MAILMAX")),
            rcpt_max=_positive(limits.get("RCPTMAX")),
            rcpt_domain_max=_positive(limits.get("RCPTDOMAINMAX")),
            parameters=parameters,
        )


def _positive(text: str | None) -> int | None:
    """RFC 9422 §3: a limit that can't be understood is as if it were not there."""
    if text is None or not (text.isascii() and text.isdigit() and len(text) <= 20):
        return None
    return int(text) or None
