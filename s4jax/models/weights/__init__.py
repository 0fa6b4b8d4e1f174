"""Published weights as the variables of our models."""
