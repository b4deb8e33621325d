"""What the telephone network and the apps' calls need: look-ups, screening, numbers, tokens."""
