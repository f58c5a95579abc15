"""The benchmarks by name."""

from spatialgen.errors import InputError
from spatialgen.suites.coco_mig import CocoMig
from spatialgen.suites.geneval import GenEval
from spatialgen.suites.suite import Suite
from spatialgen.suites.t2i_compbench import T2ICompBench
from spatialgen.suites.visor import Visor

BY_NAME = {suite.name: suite for suite in (GenEval(), T2ICompBench(), Visor(), CocoMig())}
SUITES = tuple(BY_NAME)  # names


def suite_of(name: str) -> Suite:
    """The suite of this name; InputError where there is none."""
    if name not in BY_NAME:
        raise InputError(f"{name} is no suite; choose one of {', '.join(SUITES)}")
    return BY_NAME[name]
