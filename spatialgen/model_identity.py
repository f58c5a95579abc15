"""What makes two models the same: part of the fingerprint of every stage that asks one."""

import hashlib
from pathlib import Path

from spatialgen.errors import ParamsError

IDENTIFYING = (".json", ".safetensors", ".jinja", ".txt", ".model")  # what from_pretrained reads


def model_identity(model: str, revision: str | None, setting: str) -> str:
    """`folder:<digest>` of a local folder's files, or `<hub id>@<revision>`.

    A folder may be moved; its files decide. A hub id changes under its name, so it needs a
    revision, best a commit; raises ParamsError, naming its `setting`, where it has none.
    """
    folder = Path(model).expanduser()
    if folder.is_dir():
        return f"folder:{_digest(folder)}"
    if folder.is_absolute() or folder.exists() or model.count("/") != 1:
        raise ParamsError(
            f"model {model} is neither a folder nor a hub id; give a folder with config.json, or "
            "an id such as Qwen/Qwen2.5-7B-Instruct"
        )
    if not revision:
        raise ParamsError(
            f"model {model} is no folder here, and a hub id needs its revision; set the commit, "
            f"for example with -S {setting}=<commit>"
        )
    return f"{model}@{revision}"


def _digest(folder: Path) -> str:
    """md5 over names and contents of the files that make the model."""
    total = hashlib.md5(usedforsecurity=False)
    for path in sorted(folder.rglob("*")):
        if path.suffix in IDENTIFYING and path.is_file():
            with path.open("rb") as file:
                content = hashlib.file_digest(file, "md5").hexdigest()
            total.update(f"{path.relative_to(folder).as_posix()}\x1f{content}\n".encode())
    return total.hexdigest()[:16]
