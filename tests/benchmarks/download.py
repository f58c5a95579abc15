"""Stage download against img2dataset: CPU per image, memory, speed under delays and faults.

SPATIALGEN_IMG2DATASET=/venv/bin/img2dataset python -m tests.benchmarks.download

img2dataset 1.47 lives in a virtual environment of its own. Both read the same server in turns, keep
bytes, size and sha256, and retry nothing. Only the stage compares addresses, looks for the end of
each picture and computes a perceptual hash (`no_phash` shows it without that hash). CPU is that of
the process and its children; what a start costs is measured with 100 rows and taken off for the
marginal figures.
"""

import json
import os
import shutil
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from spatialgen.lake.lake import Lake
from tests.benchmarks.harness import median, report, workspace
from tests.benchmarks.picture_server import fault_of
from tests.fetch.lists import publish_captions

HOST = "localhost"  # its certificate says so, too
ROUNDS, ROWS, START_ROWS, TLS_ROWS, HANG_S = 1, 5000, 100, 300, 3
REPOSITORY = Path.cwd()
STAGE = "from pipeline.download import main; from spatialgen.project import guard; guard(main)"
NO_PHASH = "import spatialgen.fetch.images as images; images.perceptual_hash = lambda data: None\n"
RAW = ("--disable_all_reencoding=True",)
CHECKED = ("--resize_mode=no",)


@dataclass
class Run:
    """What one run of a tool took."""

    wall_s: float
    cpu_s: float
    peak_mb: float
    first_s: float  # until the server saw its first request
    pictures: int


@contextmanager
def server(folder: Path, *certificate: Path) -> Iterator[tuple[int, Path]]:
    """The picture server's port, and the file that it writes at its first request."""
    ready = folder / "port"
    command = [sys.executable, "-m", "tests.benchmarks.picture_server", ready, *certificate]
    process = subprocess.Popen(list(map(str, command)))
    try:
        while not ready.exists():
            assert process.poll() is None
            time.sleep(0.1)
        yield int(ready.read_text()), ready.with_suffix(".first")
    finally:
        process.kill()
        process.wait()
        ready.unlink()


def measure(command: list[str], cwd: Path, env: dict[str, str]) -> tuple[float, float, float]:
    """Wall and CPU seconds, and the peak memory of the process tree (PSS, MB)."""
    began = time.perf_counter()
    process = subprocess.Popen(
        command,
        cwd=cwd,
        env={**os.environ, **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    peak, done = [0.0], threading.Event()

    def sample() -> None:
        while not done.wait(0.25):
            peak[0] = max(peak[0], tree_pss(process.pid))

    sampler = threading.Thread(target=sample)
    sampler.start()
    assert process.stdout
    output = process.stdout.read().decode()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = status
    done.set()
    sampler.join()
    assert status == 0, output
    return time.perf_counter() - began, usage.ru_utime + usage.ru_stime, peak[0]


def tree_pss(root: int) -> float:
    """Proportional memory of a process and its descendants, MB."""
    parents: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        parents.setdefault(int(fields[1]), []).append(int(path.parent.name))
    total, queue = 0, [root]
    while queue:
        pid = queue.pop()
        queue += parents.get(pid, [])
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total / 1024


def stage(
    folder: Path,
    urls: list[str],
    port: int,
    first: Path,
    *options: str,
    phash: bool = True,
    env: dict[str, str] | None = None,
) -> Run:
    """Run stage download on these URLs."""
    home = folder / "stage"
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir()
    shutil.copy(REPOSITORY / "params.yaml", home)
    lake = Lake(home / "lake", store=home / ".lake")
    publish_captions(lake, [(url, "左边是猫") for url in urls])
    settings = {
        "download.retries": 0,
        "download.min_side": 1,
        "compute.per_host": 4096,
        "compute.connect_to": f"{{{HOST}: '127.0.0.1:{port}'}}",
    }
    chosen = [f"{key}={value}" for key, value in settings.items()] + list(options)
    code = STAGE if phash else NO_PHASH + STAGE
    command = [sys.executable, "-c", code, *(word for pair in chosen for word in ("-S", pair))]
    first.unlink(missing_ok=True)
    began = time.time()
    wall, cpu, peak = measure(command, home, {"PYTHONPATH": str(REPOSITORY), **(env or {})})
    counted = json.loads((home / "metrics" / "download.json").read_text())
    return Run(wall, cpu, peak, float(first.read_text()) - began, counted["ok"])


def img2dataset(
    folder: Path,
    urls: list[str],
    first: Path,
    *options: str,
    threads: int = 32,
    env: dict[str, str] | None = None,
) -> Run:
    """Run img2dataset on these URLs, with two processes of `threads` threads."""
    home = folder / "img2dataset"
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir()
    pq.write_table(pa.table({"url": urls}), home / "urls.parquet")
    command = [
        *(os.environ["SPATIALGEN_IMG2DATASET"], f"--url_list={home}/urls.parquet"),
        *("--input_format=parquet", "--output_format=parquet", f"--output_folder={home}/out"),
        *("--processes_count=2", f"--thread_count={threads}", "--number_sample_per_shard=1000"),
        *("--enable_wandb=False", "--retries=0", f"--timeout={HANG_S}", *options),
    ]
    first.unlink(missing_ok=True)
    began = time.time()
    wall, cpu, peak = measure(command, home, env or {})
    pictures = sum(
        pq.read_table(path, columns=["status"])["status"].to_pylist().count("success")
        for path in (home / "out").glob("*.parquet")
    )
    return Run(wall, cpu, peak, float(first.read_text()) - began, pictures)


def marginal(runs: list[Run], starts: list[Run], rows: int) -> float:
    """CPU per image without the start, ms."""
    cpu = median([run.cpu_s for run in runs]) - median([run.cpu_s for run in starts])
    return cpu / (rows - START_ROWS) * 1000


def keep_alive(folder: Path) -> dict[str, float]:
    """CPU and memory over http with connections that are kept."""
    with server(folder) as (port, first):
        theirs = [f"http://127.0.0.1:{port}/fast/{n}.jpg" for n in range(ROWS)]
        ours = [f"http://{HOST}/fast/{n}.jpg" for n in range(ROWS)]
        runs: dict[str, list[Run]] = {}
        for rows in (START_ROWS, ROWS):
            for _ in range(ROUNDS):
                for name in ("stage", "no_phash", "checked", "raw"):
                    if name in ("stage", "no_phash"):
                        phash = name == "stage"
                        done = stage(folder, ours[:rows], port, first, phash=phash)
                    else:
                        options = RAW if name == "raw" else CHECKED
                        done = img2dataset(folder, theirs[:rows], first, *options)
                    assert done.pictures == rows, (name, done)
                    runs.setdefault(f"{name}:{rows}", []).append(done)
    figures: dict[str, float] = {}
    for name in ("stage", "no_phash", "checked", "raw"):
        many, few = runs[f"{name}:{ROWS}"], runs[f"{name}:{START_ROWS}"]
        figures |= {
            f"{name}_ms": median([run.cpu_s for run in many]) / ROWS * 1000,
            f"{name}_marginal_ms": marginal(many, few, ROWS),
            f"{name}_images_s": ROWS / median([run.wall_s for run in many]),
            f"{name}_peak_mb": median([run.peak_mb for run in many]),
            f"{name}_first_s": median([run.first_s for run in few]),
        }
    return figures


def over_tls(folder: Path) -> dict[str, float]:
    """CPU over https with a connection for each picture."""
    key, certificate, bundle = make_certificate(folder)
    env = {"SSL_CERT_FILE": str(bundle)}
    with server(folder, certificate, key) as (port, first):
        theirs = [f"https://{HOST}:{port}/close/{n}.jpg" for n in range(ROWS)]
        ours = [f"https://{HOST}/close/{n}.jpg" for n in range(ROWS)]
        few = stage(folder, ours[:START_ROWS], port, first, env=env)
        many = stage(folder, ours[:1000], port, first, env=env)
        small = img2dataset(folder, theirs[:START_ROWS], first, *RAW, env=env)
        large = img2dataset(folder, theirs[:TLS_ROWS], first, *RAW, env=env)
    return {
        "tls_stage_ms": marginal([many], [few], 1000),
        "tls_raw_ms": marginal([large], [small], TLS_ROWS),
        "tls_stage_pictures": many.pictures,
        "tls_raw_pictures": large.pictures,
    }


def under_faults(folder: Path, at_once: int) -> dict[str, float]:
    """Pictures per second with delays, 404, 503 and hangs, and whether a timeout was false."""
    expected = sum(fault_of(n) is None for n in range(ROWS))
    with server(folder) as (port, first):
        theirs = [f"http://127.0.0.1:{port}/faults/{n}.jpg" for n in range(ROWS)]
        ours = [f"http://{HOST}/faults/{n}.jpg" for n in range(ROWS)]
        waits = [f"compute.{name}_s={HANG_S}" for name in ("timeout", "read_timeout")]
        mine, his = [], []
        for _ in range(ROUNDS):
            mine.append(stage(folder, ours, port, first, *waits, f"compute.concurrency={at_once}"))
            his.append(img2dataset(folder, theirs, first, *CHECKED, threads=at_once // 2))
    return {
        f"faults_{at_once}_stage_images_s": median(
            [r.pictures / (r.wall_s - r.first_s) for r in mine]
        ),
        f"faults_{at_once}_checked_images_s": median(
            [r.pictures / (r.wall_s - r.first_s) for r in his]
        ),
        f"faults_{at_once}_stage_lost": max(expected - run.pictures for run in mine),
        f"faults_{at_once}_checked_lost": max(expected - run.pictures for run in his),
    }


def automatic(folder: Path) -> dict[str, float]:
    """False timeouts where the stage chooses how many requests there are at once."""
    expected = sum(fault_of(n) is None for n in range(ROWS))
    with server(folder) as (port, first):
        ours = [f"http://{HOST}/faults/{n}.jpg" for n in range(ROWS)]
        waits = [f"compute.{name}_s={HANG_S}" for name in ("timeout", "read_timeout")]
        run = stage(folder, ours, port, first, *waits)
    return {
        "auto_images_s": run.pictures / (run.wall_s - run.first_s),
        "auto_false_timeouts": expected - run.pictures,
    }


def make_certificate(folder: Path) -> tuple[Path, Path, Path]:
    """Key and certificate of HOST, and the system's certificates with it."""
    key, certificate, bundle = folder / "key.pem", folder / "cert.pem", folder / "bundle.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    names = ["-subj", f"/CN={HOST}", "-addext", f"subjectAltName=DNS:{HOST}"]
    files = ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run([*command, *names, *files], check=True, capture_output=True)
    context = ssl.create_default_context()
    known = [ssl.DER_cert_to_PEM_cert(der) for der in context.get_ca_certs(binary_form=True)]
    bundle.write_text(certificate.read_text() + "".join(known))
    return key, certificate, bundle


PARTS = {
    "keep_alive": keep_alive,
    "over_tls": over_tls,
    "faults_64": lambda folder: under_faults(folder, 64),
    "faults_1024": lambda folder: under_faults(folder, 1024),
    "automatic": automatic,
}
# Figure: (numerator, denominator, at most) or (numerator, denominator, at least).
AT_MOST = {
    "CPU <= 1/4 of img2dataset, checked": ("stage_ms", "checked_ms", 1 / 4),
    "CPU <= 1/1.8 of img2dataset, raw": ("stage_ms", "raw_ms", 1 / 1.8),
    "CPU over https <= 1/15": ("tls_stage_ms", "tls_raw_ms", 1 / 15),
    "memory <= 1/2": ("stage_peak_mb", "checked_peak_mb", 1 / 2),
}
AT_LEAST = {
    "images/s at 1024 >= 1.4x": (
        "faults_1024_stage_images_s",
        "faults_1024_checked_images_s",
        1.4,
    ),
    "images/s at 64 >= 0.95x": ("faults_64_stage_images_s", "faults_64_checked_images_s", 0.95),
}


def main() -> None:
    if "SPATIALGEN_IMG2DATASET" not in os.environ:
        sys.exit("set SPATIALGEN_IMG2DATASET to img2dataset 1.47, in an environment of its own")
    figures: dict[str, float] = {}
    for name in sys.argv[1:] or PARTS:
        with workspace() as folder:
            figures |= PARTS[name](folder)
            print(name, figures, file=sys.stderr, flush=True)
    bars = {
        bar: figures[a] / figures[b] <= most
        for bar, (a, b, most) in AT_MOST.items()
        if a in figures
    } | {
        bar: figures[a] / figures[b] >= least
        for bar, (a, b, least) in AT_LEAST.items()
        if a in figures
    }
    if "stage_first_s" in figures:
        bars["first image <= 3 s"] = figures["stage_first_s"] <= 3
    if "auto_false_timeouts" in figures:
        bars["no false timeouts"] = figures["auto_false_timeouts"] <= 0
    ratios = {
        f"{a} / {b}": figures[a] / figures[b]
        for a, b, _ in (*AT_MOST.values(), *AT_LEAST.values())
        if a in figures
    }
    report("download", {**figures, **ratios}, bars)


if __name__ == "__main__":
    main()
