"""The application's tests share with the library's what XLA compiles, and the processes that they run in."""

from ai_library.tests.compiled_programs import (  # noqa: F401 - hooks and a fixture
    pytest_collection_modifyitems,
    pytest_configure,
    pytest_runtest_setup,
    pytest_xdist_auto_num_workers,
    quickly_compiled,
)
