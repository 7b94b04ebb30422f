"""ESMTP and LMTP, both sides, bytes in and events out: every buffer is bounded, nothing is both refused and handed over."""
