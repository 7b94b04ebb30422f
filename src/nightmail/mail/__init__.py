"""The vocabulary of mail: addresses, envelopes, replies, message ids and reports, values that do nothing alone."""
