"""The method's own ideas, in NumPy alone: spaces, budgets, exploration, evolution."""
