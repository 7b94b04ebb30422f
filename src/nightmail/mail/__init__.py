"""The vocabulary of mail: addresses, envelopes, replies, message ids and reports, as values that do nothing by themselves."""
