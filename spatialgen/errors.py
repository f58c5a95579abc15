"""What can go wrong through no fault of the code, said in one sentence each.

SpatialgenError
├── ParamsError    params.yaml: unknown key, value out of range        (also a ValueError)
├── InputError     the user's own files: missing, empty, headerless    (also a ValueError)
├── QueryError     SQL that does not run or may not run                (also a ValueError)
├── RowsError      a row stage fails whatever row it is given
├── CheckError     a check of the tables fails
├── LakeError      a table is missing, or apart from its manifest
└── DiskFullError  no space left

Every message names the value, the cause and the remedy.
"""

import errno


class SpatialgenError(Exception):
    """Root of all errors that a user can mend."""


class ParamsError(SpatialgenError, ValueError):
    """params.yaml holds something that no stage understands."""


class InputError(SpatialgenError, ValueError):
    """A file that the user brought cannot be used."""


class QueryError(SpatialgenError, ValueError):
    """A query is wrong, or would write."""


class RowsError(SpatialgenError):
    """A row stage cannot answer, and not because of a row."""


class CheckError(SpatialgenError):
    """The tables break a rule of queries/checks, so nothing should train on them."""


class LakeError(SpatialgenError):
    """A table is not where its manifest says."""


class DiskFullError(SpatialgenError):
    """A disk is full; everything committed before is safe."""


def explain(error: BaseException) -> SpatialgenError | None:
    """The SpatialgenError to show for `error`, or None where it is a defect of ours.

    Lance and DuckDB report a full disk as errors of their own kinds, so the text decides.
    """
    if isinstance(error, SpatialgenError):
        return error
    full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
    if full or "No space left on device" in str(error) or "Disk quota exceeded" in str(error):
        place = f" at {error.filename}" if isinstance(error, OSError) and error.filename else ""
        return DiskFullError(
            f"the disk is full{place}: everything committed so far is kept; free some space "
            '("spatialgen store gc", "dvc gc --workspace") and run the same command again'
        )
    if isinstance(error, OSError) and error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return LakeError(
            f"{error.filename or 'the store'} may not be written ({error.strerror}); change its "
            "owner or mode, or set SPATIALGEN_STORE to a folder of your own"
        )
    if "Out of Memory Error" in str(error):  # DuckDB's
        return ParamsError(
            f"the memory limit is too small for this many threads ({str(error).splitlines()[0]}); "
            "raise compute.memory or lower compute.threads"
        )
    return None
