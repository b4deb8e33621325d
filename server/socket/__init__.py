"""The socket's front door: who is let in, reading frames, answering them."""
