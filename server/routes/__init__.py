"""One thin file per HTTP resource: parse, call a service, answer."""
