"""The application's tests share with the library's what XLA compiles, and the processes that they run in."""

from ai_library.tests.compiled_programs import pytest_configure, pytest_xdist_auto_num_workers  # noqa: F401 - hooks
