"""The directory: people, companies, who belongs to and trusts whom, their keys and service codes."""
