"""ESMTP and LMTP, both sides: bytes in, events out, every buffer bounded, nothing both refused and handed over."""
