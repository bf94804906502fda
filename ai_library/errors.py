"""The one error that is the user's to mend."""


class InputError(ValueError):
    """An input, an argument or the environment is at fault; the message names the thing and the mend."""
