"""The one exception that is a user's to mend."""


class UsageError(ValueError):
    """A user's mistake in one line without a traceback: what is wrong and what to change."""
