"""S4: seek the search space, and then the vision transformer, that fits a size budget."""

__version__ = '0.1.0'
