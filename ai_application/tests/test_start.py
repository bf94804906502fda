"""How a command's process begins and ends: the signals it hears, and output that fails."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals and descriptors as POSIX has them")

# A command in which something takes long; it says when that begins.
COMMANDS = {
    "import": "def load(): begun(); time.sleep(60)",
    "python": "def main(): begun(); wait()",
    "compiler": "def main(): begun(); hashlib.pbkdf2_hmac('sha1', b'', b'', 2**31 - 1)  # hears nothing",
    "caught": """
def main():
    try:
        begun()
        wait()
    except BaseException:
        wait()
""",
    "converted": """
def main():
    try:
        begun()
        wait()
    except BaseException:
        raise ImportError('of a module that was interrupted')
""",
    "lost": """
class Object:
    def __del__(self):
        begun()
        wait()
def main():
    Object()
    wait()
""",
    "end": "def main(): atexit.register(lambda: (begun(), time.sleep(60)))",
}
BEGINNING = """
import atexit, hashlib, os, signal, sys, time
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # a shell's background ignores some
    signal.signal(number, signal.SIG_DFL)
sys.path.insert(0, sys.argv[1])
from ai_application.start import start
def begun(): os.write(1, b"begun")
def wait():
    while True: time.sleep(0.01)
def main(): pass
def load():
    from ai_application.command_line import command
    return command(main)
"""
NUMBERS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


@pytest.fixture(autouse=True)
def buffered(monkeypatch):
    """As Python is by itself; in a container it is told otherwise."""
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)


def program(code):
    return [sys.executable, "-c", f"{BEGINNING}\n{code}\nsys.exit(start(load))", str(ROOT)]


def begin(code, *prefix):
    """Starts a program and waits until it says that it has begun."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = subprocess.Popen([*prefix, *program(code)], **pipes)
    assert os.read(process.stdout.fileno(), 5) == b"begun"
    return process


@pytest.mark.slow
@pytest.mark.parametrize(
    ("where", "number"),
    [
        *zip(["import", "python", "end"], NUMBERS, strict=True),
        *zip(["end", "import", "converted"], NUMBERS, strict=True),
    ],
)
def test_a_signal_ends_a_command_at_once_with_its_status(where, number):
    process = begin(COMMANDS[where])
    process.send_signal(number)
    _, errors = process.communicate(timeout=2)
    assert process.returncode == 128 + number
    if where != "converted":
        assert errors == b"interrupted\n"


@pytest.mark.slow
@pytest.mark.parametrize(("where", "number"), [*zip(["compiler", "caught", "lost"], NUMBERS, strict=True)])
def test_a_signal_that_nothing_heeds_ends_a_command_after_some_seconds(where, number):
    process = begin(COMMANDS[where])
    process.send_signal(number)
    assert process.communicate(timeout=6)[1] == b"interrupted\n"
    assert process.returncode == 128 + number


@pytest.mark.slow
def test_a_second_signal_ends_what_a_training_would_end_after_a_step_that_takes_long():
    code = f"""
def main():
    from ai_library.training.stop_signals import StopSignals
    with StopSignals():
        {COMMANDS["compiler"].partition("main(): ")[2]}
"""
    process = begin(code)
    process.send_signal(signal.SIGTERM)
    time.sleep(3.5)
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    assert process.communicate(timeout=6)[1].endswith(b"interrupted\n")
    assert process.returncode == 128 + signal.SIGTERM


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="processes of their own numbers need root")
@pytest.mark.parametrize("where", ["import", "python", "compiler"])
def test_process_1_of_a_container_hears_the_signal_that_stops_it(where):
    process = begin(COMMANDS[where], "unshare", "--pid", "--fork", "--kill-child")
    (child,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    os.kill(int(child), signal.SIGTERM)
    process.communicate(timeout=6)
    assert process.returncode == 128 + signal.SIGTERM


WRITING = """
def main():
    from ai_library.files.atomic import replacing
    with replacing({path!r}) as file:
        file.write("new")
        begun()
        {wait}
"""


@pytest.mark.parametrize("times", [1, 2, 5])
def test_a_signal_that_comes_several_times_leaves_no_temporary_file(tmp_path, times):
    (tmp_path / "file").write_text("old")
    process = begin(WRITING.format(path=str(tmp_path / "file"), wait="wait()"))
    for number in ([signal.SIGTERM, signal.SIGINT] * 3)[:times]:
        process.send_signal(number)
    assert process.communicate(timeout=6)[1] == b"interrupted\n"
    assert process.returncode in ((128 + signal.SIGTERM,) if times == 1 else (143, 130))
    assert [path.read_text() for path in tmp_path.iterdir()] == ["old"]


@pytest.mark.slow
def test_a_command_that_had_to_be_ended_leaves_no_temporary_file(tmp_path):
    stuck = COMMANDS["compiler"].partition("begun(); ")[2]
    process = begin(WRITING.format(path=str(tmp_path / "file"), wait=stuck))
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=6)
    assert process.returncode == 130
    assert not list(tmp_path.iterdir())


def test_an_ignored_signal_stays_ignored():
    process = begin("signal.signal(signal.SIGINT, signal.SIG_IGN)\ndef main(): begun(); time.sleep(0.3)")
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=5)[1] == b""
    assert process.returncode == 0


def failing_output(kind):
    """A descriptor that cannot be written to, as a program may be given one."""
    if kind == "full":
        return os.open("/dev/full", os.O_WRONLY)
    if kind == "read-only":
        return os.open(os.devnull, os.O_RDONLY)
    kept, output = os.openpty() if kind == "terminal" else os.pipe()
    os.close(kept)
    return output


PRINTING = """
def main():
    print("x" * 100_000)
    print("a line", file=sys.stderr)
    import warnings; warnings.warn("a warning")
    from ai_library import InputError
    {then}
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "then", "status"),
    [
        ("closed", "", 0),
        ("full", "", 0),
        ("read-only", "", 0),
        ("pipe", "", 0),
        ("terminal", "", 0),
        ("closed", "raise InputError('wrong')", 1),
        ("full", "1 / 0", 1),
        ("pipe", "exit(2)", 2),
    ],
)
def test_output_that_fails_changes_no_status(kind, then, status):
    command, given = program(PRINTING.format(then=then)), {}
    if kind == "closed":
        command = ["sh", "-c", 'exec "$@" 0<&- 1>&- 2>&-', "sh", *command]
    else:
        output = failing_output(kind)
        given = {"stdout": output, "stderr": output}
    assert subprocess.run(command, **given).returncode == status


@pytest.mark.slow
@pytest.mark.parametrize("failing", ["stdout", "stderr"])
@pytest.mark.parametrize("kind", ["closed", "full", "pipe", "terminal"])
def test_one_stream_that_fails_leaves_the_other(kind, failing):
    command, streams = program(PRINTING.format(then="")), {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    if kind == "closed":
        command = ["sh", "-c", f'exec "$@" {1 + (failing == "stderr")}>&-', "sh", *command]
    else:
        streams[failing] = failing_output(kind)
    done = subprocess.run(command, **streams)
    assert done.returncode == 0
    assert (done.stdout or b"").count(b"x") == (100_000 if failing == "stderr" else 0)
    assert (b"a line" in (done.stderr or b"")) == (failing == "stdout")


def test_a_file_does_not_get_what_goes_to_a_closed_stream(tmp_path):
    code = (
        f"def main():\n    with open({str(tmp_path / 'file')!r}, 'w') as file: os.write(2, b'line'); file.write('data')"
    )
    for closed in ("2>&-", "0<&- 2>&-", "0<&- 1>&- 2>&-"):
        subprocess.run(["sh", "-c", f'exec "$@" {closed}', "sh", *program(code)], check=True)
        assert (tmp_path / "file").read_text() == "data"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("encoding", "unbuffered"), [("ascii:strict", ""), ("latin-1", "1"), ("utf-8:strict", ""), ("cp1252:replace", "1")]
)
def test_what_an_encoding_lacks_is_an_escape_and_control_characters_never_come_through(encoding, unbuffered):
    code = r"""
def main():
    for stream in (sys.stdout, sys.stderr):
        print("\r50 %", "圆 \udcff \x1b[31m \x07 \x9b \u202e a\rb\tc", file=stream)
    raise ValueError("an error with \x1b]0;title\x07")
"""
    variables = {**os.environ, "PYTHONIOENCODING": encoding, "PYTHONUNBUFFERED": unbuffered}
    done = subprocess.run(program(code), env=variables, capture_output=True)
    assert done.returncode == 1
    for output in (done.stdout, done.stderr):
        text = output.decode(encoding.partition(":")[0])
        shown = "圆" if encoding.startswith("utf-8") else r"\u5706"
        assert text.startswith(rf"{chr(13)}50 % {shown} \udcff \x1b[31m \x07 \x9b \u202e a\rb{chr(9)}c")
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", text[1:])
    assert b"ValueError: an error with" in done.stderr


def test_lines_are_there_at_once_on_a_terminal_and_all_text_where_python_is_told_so():
    reading, terminal = os.openpty()
    for output, code, more in ((terminal, 'print("a")', {}), (None, 'print("a", end="")', {"PYTHONUNBUFFERED": "1"})):
        given = {"stdout": output or subprocess.PIPE, "env": {**os.environ, **more}}
        with subprocess.Popen(program(f"def main(): {code}; time.sleep(20)"), **given) as process:
            assert os.read(reading if output else process.stdout.fileno(), 1) == b"a"
            assert process.poll() is None
            process.kill()
