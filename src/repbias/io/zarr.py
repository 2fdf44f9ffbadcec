"""Untrusted folders of Zarr (version 2), of which NWB-Zarr is one kind.

A folder is data like a file: nothing in it is unpickled, it cannot lead to other folders, and what
it declares must fit into memory.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from repbias.base.spec import RepbiasError
from repbias.io.untrusted import refuse_size

#: Files that describe a folder as a whole, if it has them.
METADATA = (".zmetadata", ".zattrs", ".zgroup")


def is_zarr(path: Path) -> bool:
    """Return whether a path is a folder of Zarr."""
    return (path / ".zgroup").is_file()


@contextmanager
def open_nwb_zarr(path: Path) -> Iterator[Any]:
    """Open an NWB-Zarr folder, whose arrays are read lazily.

    Raises
    ------
    RepbiasError
        If parts of it are elsewhere, or what it declares does not fit into memory.
    """
    import zarr
    from hdmf_zarr.nwb import NWBZarrIO

    class WithoutOtherFolders(NWBZarrIO):  # type: ignore[misc]
        def resolve_ref(self, zarr_ref: dict[str, Any]) -> Any:
            if zarr_ref.get("source") != ".":
                found = f"{zarr_ref.get('path')!r} is in another folder, {zarr_ref.get('source')!r}"
                raise RepbiasError(f"{path}: {found}")
            return super().resolve_ref(zarr_ref)

    _refuse_links(path, path)
    _refuse_sizes(path)
    with _without_pickles(path), WithoutOtherFolders(zarr.DirectoryStore(str(path)), "r") as io:
        yield io.read()


def _refuse_links(path: Path, folder: Path) -> None:
    """Refuse a folder with symbolic links, which may lead to any of the user's files."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_symlink() or not (entry.is_file() or entry.is_dir()):
                name = Path(entry.path).relative_to(path)
                raise RepbiasError(f"{path}: {str(name)!r} is a link, a device or a pipe")
            if entry.is_dir():
                _refuse_links(path, Path(entry.path))


def _refuse_sizes(path: Path) -> None:
    """Refuse a folder with a chunk, or an array that is read as a whole, larger than memory."""
    from zarr.meta import decode_dtype

    for name, array in _declared(path):
        item = decode_dtype(array["dtype"]).itemsize
        refuse_size(path, f"a chunk of {name!r}", array["chunks"], item)
        if len(array["shape"]) == 1:  # other arrays are not read as a whole
            refuse_size(path, repr(name), array["shape"], item)


def _declared(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the name and the metadata of every array: beside it, and where all are summed up."""
    for folder, _, files in os.walk(path):
        for file in {".zarray", ".zmetadata"} & set(files):
            content = json.loads((Path(folder) / file).read_bytes())
            if file == ".zarray":
                yield str(Path(folder).relative_to(path)), content
                continue
            for name, metadata in content["metadata"].items():
                if name.endswith(".zarray"):
                    yield name.removesuffix("/.zarray"), metadata


@contextmanager
def _without_pickles(path: Path) -> Iterator[None]:
    """Let arrays of pickles be opened, as references between tables are, but never be read."""
    from numcodecs import registry
    from numcodecs.abc import Codec

    class Refused(Codec):  # type: ignore[misc]
        codec_id = "pickle"

        def __init__(self, protocol: int | None = None) -> None:
            self.protocol = protocol

        def encode(self, buf: Any) -> Any:
            raise NotImplementedError

        def decode(self, buf: Any, out: Any = None) -> Any:
            raise RepbiasError(f"{path}: holds a pickle, which could run code and is not loaded")

    pickles = registry.codec_registry.pop(Refused.codec_id, None)
    registry.register_codec(Refused)
    try:
        yield
    finally:
        del registry.codec_registry[Refused.codec_id]
        if pickles is not None:
            registry.register_codec(pickles)
