"""The part of a report that people read: what happened to their message, in whose words, and what they can do."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Sequence

from nightmail.mail.date import date_time
from nightmail.mail.fate import Action, Fate, Original
from nightmail.mail.headers import find_header, printable

_WIDTH = 72
_MOST_LISTED = 100
_LONGEST_WORD = 300

_SUBJECTS = {
    Action.FAILED: "Your message could not be delivered",
    Action.DELAYED: "Your message is delayed",
    Action.DELIVERED: "Your message was delivered",
    Action.RELAYED: "Your message was passed on",
    Action.EXPANDED: "Your message was passed on",
}
_OPENINGS = {
    Action.FAILED: "I am sorry: your message could not be delivered to {these}, and it will not be tried again. "
    "Below you find what the other side said and what you can do.",
    Action.DELAYED: "Your message has not reached {these} yet. You need not send it again: it is kept safe and tried "
    "again and again, and you will hear if that comes to nothing.",
}
_OTHERWISE = "You asked to be told what becomes of your message."
_HEADINGS = {
    Action.FAILED: "Not delivered:",
    Action.DELAYED: "Not delivered yet:",
    Action.DELIVERED: "Delivered:",
    Action.RELAYED: "Passed on to a system that sends no such reports, so that this is the last you hear of it:",
    Action.EXPANDED: "Passed on to the members of a list; no reports on each of them will follow:",
}
# By subject and detail of the enhanced status (RFC 3463 §3), whatever its class.
_ADVICE = {
    "1.1": "There is no such address. Please look for a typing mistake in it, or ask for the right one in another way.",
    "1.2": "There is no such mail domain. Please look for a typing mistake in what stands after the @.",
    "1.3": "This can't be an address. Please look for a typing mistake in it.",
    "1.10": "This domain takes no mail at all. Please ask for another address.",
    "2.1": "The mailbox is out of use. Please reach its owner in another way.",
    "2.2": "The mailbox is full. Please try again some days from now, or tell its owner in another way.",
    "2.3": "The message is too large for this mailbox. Please send it in parts, or send a link to what was attached.",
    "3.4": "The message is too large for the other side. Please send it in parts, or a link to what was attached.",
    "4.4": "There is no way to that mail domain. Please look for a typing mistake in what stands after the @.",
    "4.6": "The message went in circles. That is a fault of a mail system, not yours: please tell the postmaster.",
    "6.3": "The other side can't take 8-bit text. Please send the message again without special characters.",
    "6.7": "The other side can't handle addresses with letters beyond A to Z. Please use an address without them.",
    "7.1": "The other side's rules do not let this message in. Its owner or postmaster can change them; you can't.",
}
_REFUSED = "The other side refused the message for good. Its words above may say why; its postmaster can say more."
_NOT_ALLOWED = "The message or its sender was found to break a rule of the other side. Its postmaster can say more."
_GIVEN_UP = (
    "It was tried again and again until its time was over. Please try later, or reach the recipient in another way."
)


def subject(fates: Sequence[Fate]) -> str:
    """The subject of the report: the worst that happened."""
    return _SUBJECTS[_worst(fates)]


def explain(original: Original, fates: Sequence[Fate], hostname: str) -> str:
    """The text for people, lines ended by CRLF, none much longer than 72 characters unless a single word is."""
    worst = _worst(fates)
    number = sum(fate.action is worst for fate in fates)
    these = "the address below" if number == 1 else f"the {number} addresses below"
    opening = _OPENINGS.get(worst, _OTHERWISE).format(these=these)
    lines = [f"This is the mail system at {hostname}.", "", *_wrapped(opening, ""), "", *_which(original)]
    for action in Action:
        lines += _section(action, [fate for fate in fates if fate.action is action])
    lines += ["", *_wrapped(f"If you need help, send this report to <postmaster@{hostname}>.", "")]
    return "".join(f"{line}\r\n" for line in lines)


def _worst(fates: Sequence[Fate]) -> Action:
    order = list(Action)
    return min((fate.action for fate in fates), key=order.index)


def _which(original: Original) -> Iterator[str]:
    """The lines by which the sender recognises the message."""
    about = find_header(original.message, "Subject", 200)
    if about and "=?" not in about:
        yield from _wrapped(f"Subject:   {about}", "    ", "               ")
    yield f"    Received:  {date_time(original.arrival)}"
    yield f"    Known as:  {original.id}"


def _section(action: Action, fates: Sequence[Fate]) -> Iterator[str]:
    if not fates:
        return
    yield from ("", *_wrapped(_HEADINGS[action], ""))
    for fate in fates[:_MOST_LISTED]:
        yield ""
        yield from _entry(fate)
    if len(fates) > _MOST_LISTED:
        yield from ("", f"  and {len(fates) - _MOST_LISTED} more, listed in the second part of this report.")


def _entry(fate: Fate) -> Iterator[str]:
    """One recipient: the address, what the other side said, what to do."""
    recipient = fate.recipient
    yield f"  <{printable(recipient.address, 320)}>"
    if recipient.orig_to and recipient.orig_to != recipient.address:
        yield f"  (you wrote to <{printable(recipient.orig_to, 320)}>)"
    where = f"{fate.remote_host}: " if fate.remote_host else ""
    yield from _wrapped(where + printable(str(fate.reply), 1000), "      ")
    yield from _wrapped(_what_to_do(fate), "    ")


def _what_to_do(fate: Fate) -> str:
    if fate.action is Action.DELAYED:
        return f"It will be tried until {date_time(fate.retry_until)}." if fate.retry_until else ""
    if fate.action is not Action.FAILED:
        return ""
    if not fate.reply.is_permanent:
        return _GIVEN_UP
    detail = fate.status.partition(".")[2]
    if detail in _ADVICE or not fate.remote_host:  # what we said ourselves speaks for itself
        return _ADVICE.get(detail, "")
    return _NOT_ALLOWED if detail.startswith("7.") else _REFUSED


def _wrapped(text: str, indent: str, further: str | None = None) -> list[str]:
    """`text` in lines; a word that a line could never hold (RFC 5322 §2.1.1) is broken."""
    text = re.sub(rf"(\S{{{_LONGEST_WORD}}})", r"\1 ", text)
    return textwrap.wrap(
        text,
        _WIDTH,
        initial_indent=indent,
        subsequent_indent=indent if further is None else further,
        break_long_words=False,
        break_on_hyphens=False,
    )
