"""The application's tests share with the library's what XLA compiles."""

from ai_library.tests.compiled_programs import pytest_configure  # noqa: F401 - a hook of pytest
