"""A `dvc repro` with nothing to do.

python -m tests.benchmarks.repro
"""

from tests.benchmarks.harness import median, report, seconds, workspace
from tests.conftest import make_project


def main() -> None:
    with workspace() as folder:
        project = make_project(folder / "project")
        project.run("dvc", "repro")
        project.commit("run")
        idle = median([seconds(lambda: project.run("dvc", "repro")) for _ in range(5)])
    report("repro", {"no_op_s": idle}, {"no-op dvc repro <= 6 s": idle <= 6})


if __name__ == "__main__":
    main()
