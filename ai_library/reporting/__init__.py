"""What people look at: predictions of files, and the page."""

from ..errors import MissingExtraError

try:
    import jinja2  # noqa: F401 - all of this folder needs it, or markupsafe, which comes with it
except ModuleNotFoundError as _error:
    raise MissingExtraError(_error, "report") from _error
