"""The same command elsewhere: as a job under token authentication, with a node that goes, on a disk that is full."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from kartoteka import edition as editions

ROOT = Path(__file__).parents[2]
RAY = str(Path(sys.executable).with_name("ray"))
pytestmark = pytest.mark.slow


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def head() -> Iterator[dict[str, str]]:
    """`ray start --head` with token authentication, as it is by default; the environment that reaches it."""
    folder = tempfile.mkdtemp(prefix="kt-", dir="/tmp")
    dashboard, gcs, agent = free_port(), free_port(), free_port()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")} | {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "OMP_NUM_THREADS": "1",
    }
    command = [RAY, "start", "--head", "--num-cpus=2", f"--temp-dir={folder}", f"--port={gcs}", "--block"]
    command += [f"--dashboard-port={dashboard}", "--dashboard-host=127.0.0.1", f"--object-store-memory={256 << 20}"]
    # The agent takes the jobs. Its port is one for all clusters of a machine unless it is told another.
    command += [f"--dashboard-agent-listen-port={agent}"]
    log = Path(folder, "head.log")
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=output)
        try:
            deadline = time.monotonic() + 90
            while True:
                with socket.socket() as probe:
                    if probe.connect_ex(("127.0.0.1", dashboard)) == 0:
                        break
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.5)
            yield environment | {"RAY_API_SERVER_ADDRESS": f"http://127.0.0.1:{dashboard}"}
        finally:
            family = psutil.Process(process.pid).children(recursive=True)
            for member in [*family, psutil.Process(process.pid)]:
                with suppress(psutil.NoSuchProcess):
                    member.kill()
            process.wait(30)
            shutil.rmtree(folder, ignore_errors=True)


def submit(environment: dict[str, str], *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [RAY, "job", "submit", "--working-dir", str(ROOT), "--", "python", "-m", "jobs", "reindex"]
    deadline = time.monotonic() + 120
    while True:
        result = subprocess.run(
            [*command, *map(str, arguments)], env=environment, cwd=ROOT, text=True, capture_output=True, timeout=280,
        )  # fmt: skip
        if "No available agent" not in result.stderr or time.monotonic() > deadline:
            return result
        time.sleep(2)  # the dashboard answers before its agent is there


def test_the_job_is_submitted_to_a_cluster_with_its_token(
    head: dict[str, str], corpus: Path, config: Path, tiny_encoder: Path, tmp_path: Path
) -> None:
    without = submit(head | {"RAY_AUTH_TOKEN": "0" * 64}, corpus, "--edition", tmp_path / "no")
    assert without.returncode != 0
    result = submit(head, corpus, "--edition", tmp_path / "e", "--config", config, "--encoder", tiny_encoder)
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    assert "202 rows read = 200 documents + 2 quarantined" in result.stdout
    assert list(editions.verify(editions.open(tmp_path / "e"))) == []


TWO_NODES = """
import os, sys, threading, time
from pathlib import Path
import ray
from ray.cluster_utils import Cluster
from jobs.config import ReindexConfig
from jobs.reindex import run

corpus, place, config, encoder = sys.argv[1:]
if __name__ == "__main__":
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "object_store_memory": 200 << 20})
    second = cluster.add_node(num_cpus=1, object_store_memory=200 << 20)
    workers = {"env_vars": {"PYTHONPATH": os.environ["PYTHONPATH"]}}
    ray.init(address=cluster.address, log_to_driver=False, runtime_env=workers)

    def remove() -> None:
        while not list(Path(place, "_build", "done", "embed").glob("part-*.json")):
            time.sleep(0.02)
        cluster.remove_node(second, allow_graceful=False)
        Path(place + ".removed").touch()

    threading.Thread(target=remove, daemon=True).start()
    where = dict(encoder_gpus=0.0, address=None, cpus=None, dry_run=False)
    options = dict(encoder=encoder, revision=None, ranker=None, classifier=None) | where
    run([corpus], place, ReindexConfig.from_toml(config), **options)
    ray.shutdown()
    cluster.shutdown()
"""


def test_a_node_that_goes_takes_nothing_with_it(corpus: Path, config: Path, tiny_encoder: Path, tmp_path: Path) -> None:
    folder = tempfile.mkdtemp(prefix="kt-", dir="/tmp")
    (tmp_path / "two_nodes.py").write_text(TWO_NODES)
    path = os.pathsep.join([str(ROOT / "platform"), str(ROOT)])
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    environment |= {"PYTHONPATH": path, "RAY_TMPDIR": folder, "OMP_NUM_THREADS": "1"}
    result = subprocess.run(
        [sys.executable, tmp_path / "two_nodes.py", corpus, tmp_path / "e", config, tiny_encoder],
        env=environment, text=True, capture_output=True, timeout=280,
    )  # fmt: skip
    shutil.rmtree(folder, ignore_errors=True)
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    assert Path(f"{tmp_path / 'e'}.removed").exists()
    edition = editions.open(tmp_path / "e")
    assert edition.manifest["counts"]["documents"] == 200
    assert list(editions.verify(edition)) == []


FULL = """
set -e
mount -t tmpfs -o size=300k tmpfs "$1"
shift
set +e
"$@" --edition "$KT_EDITION" >"$KT_LOG.out" 2>"$KT_LOG.err"
echo $? >"$KT_LOG.first"
mount -o remount,size=200m "$KT_DISK"
"$@" --edition "$KT_EDITION" >"$KT_LOG.out2" 2>"$KT_LOG.err2"
echo $? >"$KT_LOG.second"
"$KT_PYTHON" -m jobs inspect "$KT_EDITION" >"$KT_LOG.inspect" 2>&1
echo $? >"$KT_LOG.third"
"""


def test_a_full_disk_stops_the_run_and_room_lets_it_go_on(
    corpus: Path, config: Path, tiny_encoder: Path, tmp_path: Path
) -> None:
    """In a mount namespace of its own, so that no rights outside it are needed."""
    disk, log = tmp_path / "disk", tmp_path / "log"
    disk.mkdir()
    command = [sys.executable, "-m", "jobs", "reindex", corpus, "--config", config, "--encoder", tiny_encoder]
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"} | {
        "KT_EDITION": str(disk / "e"), "KT_DISK": str(disk), "KT_LOG": str(log), "KT_PYTHON": sys.executable,
        "PYTHONPATH": os.pathsep.join([str(ROOT / "platform"), str(ROOT)]),
    }  # fmt: skip
    private = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--map-root-user", "--mount"]
    subprocess.run(
        [*private, "bash", "-c", FULL, "bash", disk, *command], env=environment, cwd=ROOT, check=True, timeout=280
    )
    read: Callable[[str], str] = lambda name: Path(f"{log}.{name}").read_text()  # noqa: E731
    assert read("first").strip() == "1", read("out") + read("err")
    assert "the disk is full" in read("err")
    assert len(read("err").strip().splitlines()) == 1
    assert read("second").strip() == "0", read("out2") + read("err2")
    assert read("third").strip() == "0", read("inspect")
