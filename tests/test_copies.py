"""Copies of a bucket's folders, with processes that use them: made once, kept while they are used, removed after."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pyarrow.fs as pafs
import pytest

from kartoteka.copies import UNUSED_S, copy_of, sweep
from kartoteka.storage import Storage

DAY = 86400.0
#: Takes up the copy KEY, tells so, and reads its second file when it is told to.
READER = """
import sys
from pathlib import Path
from kartoteka.copies import copy_of
copy = copy_of(sys.argv[1], 0, lambda place: sys.exit("there is no copy"))
print((copy / "first").read_text(), flush=True)
input()
print((copy / "second").read_text())
"""
#: Two processes remove all they can while others, one after another, take a copy up and read it file by file.
CROWD = """
import os, sys, time
from pathlib import Path
from kartoteka import copies
folder = Path(sys.argv[1])
folder.mkdir()
parent = os.getpid()

def make(place):
    place.mkdir()
    for number in range(5):
        (place / str(number)).write_text("whole")

def read():
    copy = copies.copy_of("key", 0, make)
    for number in range(5):
        time.sleep(0.001)
        assert (copy / str(number)).read_text() == "whole"

def remove():
    while os.getppid() == parent:
        copies.sweep(folder, 3600, 1 << 60)
        time.sleep(0.0005)

def child(work):
    pid = os.fork()
    if pid == 0:
        try:
            work()
        except BaseException as error:
            print(repr(error), flush=True)
            os._exit(1)
        os._exit(0)
    return pid

sweepers = [child(remove) for _ in range(2)]
bad = 0
for _ in range(30):
    bad += sum(os.waitpid(pid, 0)[1] != 0 for pid in [child(read) for _ in range(4)])
alive = [os.waitpid(pid, os.WNOHANG) == (0, 0) for pid in sweepers]
sys.exit(bad or not all(alive))
"""
#: Takes up the copy KEY, or makes one, a file, with the line that it is given; tells what is in it.
TAKER = """
import sys
from kartoteka.copies import copy_of

def make(place):
    print("making", flush=True)
    place.write_text(input())

print(copy_of(sys.argv[1], 0, make).read_text())
"""
#: Removes all it can, for ever.
SWEEPER = """
import sys
from pathlib import Path
from kartoteka.copies import sweep
folder = Path(sys.argv[1])
print("sweeping", flush=True)
while True:
    sweep(folder, 3600, 1 << 60)
"""


@pytest.fixture
def copies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where copies are in this test and in the processes that it starts."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return tmp_path / f"kartoteka-copies-{os.getuid()}"


def bucket(folder: Path) -> Storage:
    """A storage that is no folder of this machine, as far as it knows."""
    storage = Storage(folder)
    storage.fs, storage.root = pafs.SubTreeFileSystem(str(folder), pafs.LocalFileSystem()), "edition"
    return storage


def start(program: str, argument: str, tells: str = "") -> subprocess.Popen[str]:
    """A process that runs `program`, once its first line is told, where there is one to wait for."""
    command = [sys.executable, "-c", program, argument]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    if tells:
        assert process.stdout
        assert process.stdout.readline() == f"{tells}\n"
    return process


def wait_until_blocked(process: subprocess.Popen[str]) -> None:
    """Until `process` waits for a lock that another holds."""
    until = time.monotonic() + 60
    while not re.search(rf"-> FLOCK .* {process.pid} ", Path("/proc/locks").read_text()):
        assert process.poll() is None, "it did not wait"
        assert time.monotonic() < until
        time.sleep(0.01)


def write(place: Path) -> None:
    place.mkdir()
    (place / "first").write_text("1")
    (place / "second").write_text("2" * 1000)


def old_copy(folder: Path, key: str, days: float) -> Path:
    """A copy as a process left it that has ended `days` ago."""
    place = folder / key
    place.mkdir(parents=True)
    write(place / "copy")
    os.utime(place, (time.time() - days * DAY,) * 2)
    return place


def test_what_a_bucket_holds_is_copied_once_and_anew_when_it_changes(copies: Path, tmp_path: Path) -> None:
    storage, behind = bucket(tmp_path), Storage(tmp_path / "edition")
    behind.put("deep/er/a.txt", b"one")
    behind.put("b.txt", b"two")
    first, single = storage.local("deep"), storage.local("b.txt")
    assert ((first / "er" / "a.txt").read_bytes(), single.read_bytes()) == (b"one", b"two")
    assert (storage.local("deep"), storage.local("b.txt")) == (first, single)
    assert len(list(copies.iterdir())) == 2
    behind.put("deep/er/a.txt", b"other")
    assert (storage.local("deep") / "er" / "a.txt").read_bytes() == b"other"
    assert (first / "er" / "a.txt").read_bytes() == b"one"
    with pytest.raises(FileNotFoundError):
        storage.local("nothing")
    assert len(list(copies.iterdir())) == 3


def test_a_copy_stays_while_a_process_uses_it_and_goes_when_that_is_killed(copies: Path) -> None:
    used, unused = old_copy(copies, "used", 100), old_copy(copies, "unused", 100)
    reader, other = start(READER, "used", "1"), start(READER, "used", "1")
    for _ in range(2):
        os.utime(used, (0, 0))
        sweep(copies, DAY, 1 << 60)
        assert not unused.exists()
    answer, _ = reader.communicate("\n")
    assert answer == "2" * 1000 + "\n"
    sweep(copies, DAY, 1 << 60)
    assert used.exists()  # the other one lives
    other.kill()
    other.communicate()
    sweep(copies, DAY, 1 << 60)
    assert list(copies.iterdir()) == []


def test_with_a_new_copy_those_go_that_nobody_has_used_for_long(copies: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kartoteka.copies.FREE_SHARE", 0.0)  # the disk of whoever tests may be nearly full
    days = UNUSED_S / DAY
    ages = {"a": days + 1, ".torn": 0.1, "c": days - 1}
    gone, torn, stays = (old_copy(copies, key, age) for key, age in ages.items())
    assert (copy_of("new", 1, write) / "first").read_text() == "1"
    assert [place.exists() for place in (gone, torn, stays)] == [False, False, True]


def test_where_room_is_wanted_the_copy_goes_first_that_was_taken_up_longest_ago(copies: Path) -> None:
    places = [old_copy(copies, key, age) for key, age in [("a", 1), ("b", 3), ("c", 2), (".making", 0)]]
    for wanted, left in [(0, [1, 1, 1, 1]), (1001, [1, 0, 1, 1]), (1002, [0, 0, 0, 1])]:  # one has 1001
        sweep(copies, 10 * DAY, wanted)
        assert [place.exists() for place in places] == left


def test_what_is_removed_from_outside_is_copied_again(copies: Path) -> None:
    first = copy_of("key", 0, write)
    first.parent.rename(copies / "elsewhere")
    assert (copy_of("key", 0, write) / "first").read_text() == "1"


def test_nothing_half_made_is_left_by_an_error(copies: Path) -> None:
    def fails(place: Path) -> None:
        write(place)
        raise OSError("the bucket is away")

    with pytest.raises(OSError, match="the bucket is away"):
        copy_of("key", 0, fails)
    assert list(copies.iterdir()) == []


def test_who_waited_for_a_copy_that_was_removed_meanwhile_makes_another(copies: Path) -> None:
    place = old_copy(copies, "key", 1)
    lock = os.open(place, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    taker = start(TAKER, "key")
    wait_until_blocked(taker)
    shutil.rmtree(place)
    os.close(lock)
    assert taker.communicate("anew", timeout=60)[0] == "making\nanew\n"


def test_of_those_who_want_a_new_copy_at_once_one_makes_it(copies: Path) -> None:
    first = start(TAKER, "key", "making")
    others = [start(TAKER, "key") for _ in range(2)]
    for other in others:
        wait_until_blocked(other)
    assert first.communicate("of the first", timeout=60)[0] == "of the first\n"
    assert [other.communicate("anew", timeout=60)[0] for other in others] == ["of the first\n"] * 2
    assert [place.name for place in copies.iterdir()] == ["key"]


def test_when_the_maker_is_killed_one_who_waited_makes_it(copies: Path) -> None:
    first = start(TAKER, "key", "making")
    other = start(TAKER, "key")
    wait_until_blocked(other)
    first.kill()
    first.communicate()
    assert other.communicate("anew", timeout=60)[0] == "making\nanew\n"
    for left in copies.glob(".*"):
        os.utime(left, (0, 0))
    sweep(copies, DAY, 0)
    assert [place.name for place in copies.iterdir()] == ["key"]


def test_a_copy_just_made_is_not_swept_before_its_maker_has_it(copies: Path) -> None:
    copies.mkdir()
    sweeper = start(SWEEPER, str(copies), "sweeping")
    made = []
    for number in range(100):
        copy_of(str(number), 0, lambda place, number=number: (write(place), made.append(number)))
    sweeper.kill()
    sweeper.communicate()
    assert made == list(range(100))


def test_what_is_in_the_way_of_a_sweep_does_not_fail_the_copy(copies: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copies.mkdir()
    monkeypatch.chdir(copies)
    with socket.socket(socket.AF_UNIX) as stuck:
        stuck.bind("stuck")  # it cannot be opened, not even by root
    strays = [copies / "stray", copies / ".stray", copies / "stuck"]
    for stray in strays:
        if stray.name != "stuck":
            stray.write_text("7 bytes")
        os.utime(stray, (0, 0))
    gone = old_copy(copies, "unused", 100)
    assert (copy_of("new", 0, write) / "first").read_text() == "1"
    assert [place.exists() for place in [*strays, gone]] == [False, False, True, False]


def test_whom_a_signal_stops_while_it_waits_leaves_nothing_open(copies: Path) -> None:
    def stop(*_: object) -> None:
        raise InterruptedError("no longer wanted")

    place = old_copy(copies, "key", 1)
    lock = os.open(place, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    usual = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, 0.2)
    try:
        with pytest.raises(InterruptedError, match="no longer wanted"):
            copy_of("key", 0, write)
    finally:
        signal.signal(signal.SIGALRM, usual)
    opened = [os.path.realpath(f"/proc/self/fd/{number}") for number in os.listdir("/proc/self/fd")]
    assert opened.count(str(place)) == 1  # the one above
    os.close(lock)


def test_readers_and_sweepers_in_a_crowd(copies: Path) -> None:
    told = subprocess.run([sys.executable, "-c", CROWD, copies], text=True, capture_output=True, timeout=200)
    assert told.returncode == 0, told.stdout + told.stderr
