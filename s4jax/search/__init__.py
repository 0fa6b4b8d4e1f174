"""The method's own ideas, without JAX: spaces, budgets, exploration, evolution."""
