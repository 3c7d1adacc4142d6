"""Copies of what lies in buckets, on this machine's disk: made once, shared by its processes, swept when unused.

A process that uses a copy holds a shared lock (`flock`) on its folder until the process ends, however it ends, and a
copy is removed only under an exclusive one. So files may be opened one by one, at any time. A cleaner of temporary
files that heeds such locks, as systemd's does, leaves the copies in use alone as well. What a process no longer needs
it keeps all the same: a replica of a service that lives long keeps the copies of every edition that it has shown, and
its node needs disk for all of them until it is started anew.
"""

from __future__ import annotations

import fcntl
import math
import os
import shutil
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

#: Seconds after which a copy that nobody uses, and nobody took up since, is removed when another is made.
UNUSED_S = 14 * 86400
#: Of the disk, what is to stay free beside a new copy: older ones that nobody uses give way.
FREE_SHARE = 0.1
#: Seconds within which whoever makes a copy has locked what is half made of it.
_LOCKED_S = 60
#: The copies that this process holds the lock of.
_held: set[Path] = set()


def copy_of(key: str, size: int, make: Callable[[Path], None]) -> Path:
    """The copy called `key`, of `size` bytes; `make` writes the file or folder where there is none yet.

    Raises what `make` raises, and `OSError` (a full disk).
    """
    place = Path(tempfile.gettempdir(), f"kartoteka-copies-{os.getuid()}", key)
    if place not in _held or not place.exists():
        if _lock(place, fcntl.LOCK_SH) is None:
            with _turn(place):
                if _lock(place, fcntl.LOCK_SH) is None:  # nobody made it while this process waited
                    disk = shutil.disk_usage(place.parent)
                    sweep(place.parent, UNUSED_S, size + int(FREE_SHARE * disk.total) - disk.free)
                    _make(place, make)
        _held.add(place)
    os.utime(place)
    return place / "copy"


def sweep(folder: Path, unused_s: float, wanted: int) -> None:
    """Remove the copies in `folder` that were not taken up for `unused_s` seconds; never one that a process uses.

    Then those taken up longest ago, until `wanted` bytes are free that were not. What processes that were killed have
    left half made, or half removed, goes as well. What cannot be removed stays: the next sweep tries again.
    """
    for taken, place in sorted((_taken_up(place), place) for place in folder.iterdir()):
        half = place.name.startswith(".")
        if time.time() - taken > (_LOCKED_S if half else unused_s) or (wanted > 0 and not half):
            with suppress(OSError):
                wanted -= _remove(place)


@contextmanager
def _turn(place: Path) -> Iterator[None]:
    """Only one process at a time is in this block for one `place`; others wait, and come after it however it ends."""
    place.parent.mkdir(parents=True, exist_ok=True)
    file = place.with_name(f".{place.name}.lock")
    lock = None
    while lock is None:  # whoever was before has removed the file
        file.touch()
        lock = _lock(file, fcntl.LOCK_EX)
    try:
        yield
    finally:
        with suppress(OSError):  # the next sweep removes it
            file.unlink()
        os.close(lock)


def _make(place: Path, make: Callable[[Path], None]) -> None:
    """Make a copy beside its place, then rename it. This process has its lock before others can find it."""
    beside = _beside(place)
    beside.mkdir()
    lock = _lock(beside, fcntl.LOCK_SH)
    assert lock is not None, f"{beside} was swept when it was new"
    try:
        make(beside / "copy")
        beside.rename(place)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        os.close(lock)
        raise


def _remove(place: Path) -> int:
    """Remove a copy, or a stray file, that nobody uses; the bytes that it had, 0 for one that is in use or gone."""
    lock = _lock(place, fcntl.LOCK_EX | fcntl.LOCK_NB)
    if lock is None:
        return 0
    try:
        aside = _beside(place)  # whoever waits for the lock finds the copy gone, not half of it
        place.rename(aside)
        size = sum(file.stat().st_size for file in [aside, *aside.rglob("*")] if file.is_file())
        if aside.is_dir():
            shutil.rmtree(aside)
        else:
            aside.unlink()
    finally:
        os.close(lock)
    return size


def _lock(place: Path, how: int) -> int | None:
    """The open lock of a folder or file; None where there is none any more, or others hold it."""
    try:
        lock = os.open(place, os.O_RDONLY)
    except FileNotFoundError:
        return None
    locked = False
    try:
        with suppress(FileNotFoundError, BlockingIOError):
            fcntl.flock(lock, how)
            locked = os.path.samestat(os.fstat(lock), place.stat())  # not removed while this one waited
    finally:
        if not locked:
            os.close(lock)
    return lock if locked else None


def _taken_up(place: Path) -> float:
    """When a copy was last taken up, in seconds since 1970; infinity where it is gone."""
    try:
        return place.stat().st_mtime
    except FileNotFoundError:
        return math.inf


def _beside(place: Path) -> Path:
    return place.with_name(f".{uuid.uuid4().hex}.tmp")
