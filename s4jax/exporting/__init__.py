"""A final model in another format: one module for each, and the comparison with JAX."""
