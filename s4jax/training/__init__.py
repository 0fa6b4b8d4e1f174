"""Training: the recipe, the compiled step, the fit, and the accuracy on held-out images."""
