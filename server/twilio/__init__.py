"""Twilio's side of the wire: signed requests in, its REST API out."""
