"""What the server says by itself, and what its shell mostly says."""

from __future__ import annotations

from nightmail.mail.reply import Reply

OK = Reply(250, "2.0.0", "Ok")
SENDER_OK = Reply(250, "2.1.0", "Ok")
RECIPIENT_OK = Reply(250, "2.1.5", "Ok")
START_INPUT = Reply(354, "", "End data with <CR><LF>.<CR><LF>")
GOODBYE = Reply(221, "2.0.0", "Bye")
HELP = Reply(214, "2.0.0", "EHLO MAIL RCPT DATA BDAT RSET NOOP VRFY HELP QUIT: see RFC 5321")
CANNOT_VERIFY = Reply(252, "2.0.0", "Send mail and see whether it is taken")

UNKNOWN_COMMAND = Reply(500, "5.5.2", "Command not recognized")
NOT_TEXT = Reply(500, "5.5.2", "Control characters or broken UTF-8 in a command")
BARE_NEWLINE_COMMAND = Reply(500, "5.5.2", "Bare newline: commands end with <CR><LF>")
LINE_TOO_LONG = Reply(500, "5.5.6", "Line too long")
NOT_SMTP = Reply(500, "5.5.2", "This is an SMTP server")
NO_ARGUMENT = Reply(501, "5.5.4", "This command takes no argument")
ARGUMENT_MISSING = Reply(501, "5.5.4", "This command needs an argument")
WRONG_HELLO = Reply(500, "5.5.1", "EHLO and HELO are for SMTP, LHLO is for LMTP")
BAD_HELLO = Reply(501, "5.5.4", "A hello needs a domain name or an address literal")
BAD_CHUNK = Reply(501, "5.5.4", "Syntax: BDAT octets [LAST]")
NOT_IMPLEMENTED = Reply(502, "5.5.1", "Command not implemented")
HELLO_FIRST = Reply(503, "5.5.1", "Say hello first")
NESTED_MAIL = Reply(503, "5.5.1", "A transaction is open already")
MAIL_FIRST = Reply(503, "5.5.1", "MAIL first")
NO_RECIPIENTS = Reply(503, "5.5.1", "No valid recipients")  # 554 in RFC 5321 §3.3 as well, never in RFC 2033 §4.2
CHUNKS_BEGUN = Reply(503, "5.5.1", "BDAT has begun: go on with BDAT, or RSET")
CHUNKS_BROKEN = Reply(503, "5.5.1", "An earlier BDAT failed: RSET")
TOO_MANY_RECIPIENTS = Reply(452, "4.5.3", "Too many recipients")
TOO_BIG = Reply(552, "5.3.4", "Message size exceeds the limit")
BARE_NEWLINE_BODY = Reply(550, "5.6.0", "Message refused: bare newline; lines end with <CR><LF>")
LOOPING = Reply(554, "5.4.6", "Too many hops: the message seems to loop")
TOO_MANY_ERRORS = Reply(421, "4.7.0", "Too many errors")
OUT_OF_STEP = Reply(421, "4.7.0", "Closing: the dialogue is out of step")
