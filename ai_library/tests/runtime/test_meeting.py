"""Where several processes meet: who listens there, and what cannot be a meeting."""

import socket
import sys
import time

import pytest

from ai_library import InputError
from ai_library.runtime import distributed
from ai_library.tests.processes import Process, free_port

pytestmark = pytest.mark.slow

BOUND_SECONDS = 60


@pytest.mark.parametrize(
    ("meeting", "message"),
    [
        (("here", 2, 0), "coordinator must be HOST:PORT, such as 10.0.0.1:5000, got 'here'"),
        (("here:port", 2, 0), "got 'here:port'"),
        (("here:99999", 2, 0), "got 'here:99999'"),
        ((":5000", 2, 0), "got ':5000'"),
        (("here:5000", 2, 2), "process must be from 0 to 1 of 2 processes, got 2"),
        (("here:5000", 2, -1), "got -1"),
    ],
)
def test_a_meeting_that_cannot_be_is_named(meeting, message):
    with pytest.raises(InputError, match=message):
        distributed.initialise(*meeting)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere only 127.0.0.1 is a machine's own of these addresses")
@pytest.mark.parametrize(
    ("named", "listens", "silent"),
    [
        ("127.0.0.1", "127.0.0.1", "127.0.0.2"),
        ("127.0.0.3", "127.0.0.3", "127.0.0.1"),
        ("localhost", "127.0.0.1", "127.0.0.2"),
    ],
)
def test_the_first_process_listens_at_the_address_that_was_named_alone(tmp_path, named, listens, silent):
    port = free_port()
    process = Process("train", tmp_path, "--coordinator", f"{named}:{port}", "--processes", 2, "--process", 0)
    try:
        until = time.monotonic() + BOUND_SECONDS
        while not answers(listens, port):
            assert process.poll() is None
            assert time.monotonic() < until
            time.sleep(0.1)
        assert not answers(silent, port)
    finally:
        process.kill()
        process.communicate()


def answers(address, port):
    """Whether anything listens there."""
    with socket.socket() as tried:
        return tried.connect_ex((address, port)) == 0


@pytest.mark.parametrize(
    ("host", "address", "listens"),
    [
        ("127.0.0.1", "127.0.0.1", "127.0.0.1:5000"),
        ("LocalHost", "127.0.0.1", "127.0.0.1:5000"),
        ("service", "192.0.2.1", None),  # another machine's, or one that leads here
        ("here", "127.0.1.1", None),  # what Debian's /etc/hosts calls the machine itself: others look elsewhere
        ("nowhere", None, None),
    ],
)
def test_a_name_that_others_know_by_another_address_leaves_the_choice_to_jax(monkeypatch, host, address, listens):
    def found(name, *_, **__):
        assert name == host
        if address is None:
            raise socket.gaierror("unknown")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 0))]

    monkeypatch.setattr(socket, "getaddrinfo", found)
    assert distributed.listening_address(f"{host}:5000") == listens
