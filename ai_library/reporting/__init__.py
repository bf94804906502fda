"""Results for people: predictions of image files, and HTML pages."""

from ..errors import MissingExtraError

try:
    import jinja2  # noqa: F401 - needed by every module here, as is its markupsafe
except ModuleNotFoundError as _error:
    raise MissingExtraError(_error, "report") from _error
