"""The one exception for what a user can cause and mend."""


class UserError(ValueError):
    """A bad value, file or environment; its one-line message names the remedy."""
