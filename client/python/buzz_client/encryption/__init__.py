"""Sealed messages: end-to-end encryption between devices, as docs/encryption.md describes it.

Pure functions and values: keys, statements, trust, chains, the message. The clock and the randomness are arguments. It
needs the package ``cryptography`` (the extra ``encryption``).
"""
