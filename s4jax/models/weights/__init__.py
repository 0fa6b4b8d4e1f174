"""Published weights as our variables."""
