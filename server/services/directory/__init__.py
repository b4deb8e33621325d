"""The directory: people, companies and their numbers, kept up to date by the operator."""
