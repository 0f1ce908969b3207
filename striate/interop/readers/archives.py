"""Members of zip archives that are not trusted: few, of declared and limited size, read into memory."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path

from striate.data.sources.unpacking import open_zip
from striate.errors import RequestError, printable
from striate.reading import WEIGHTS, open_file

_RATIO = 50  # the most that an archive of a model is packed


def members(path: Path, limits: Mapping[str, int], optional: Mapping[str, int] | None = None) -> dict[str, bytes]:
    """The members of these names, each of at most so many bytes; those of `optional` may be missing.

    Raises RequestError for a file that is no archive, is damaged, lacks a member or declares more.
    """
    found: dict[str, bytes] = {}
    try:
        with open_file(path, WEIGHTS) as file, open_zip(file, "it", ratio=_RATIO, limit=WEIGHTS) as archive:
            names = set(archive.namelist())
            if missing := sorted(limits.keys() - names):
                raise RequestError(f"it is an archive without {' and '.join(missing)}")
            for name, limit in {**limits, **(optional or {})}.items():
                if name not in names:
                    continue
                if archive.getinfo(name).file_size > limit:
                    raise RequestError(f"its member {name} has {archive.getinfo(name).file_size:,} bytes")
                found[name] = archive.read(name)
    except RequestError:
        raise
    except OSError as error:
        raise RequestError(f"it cannot be read: {error.strerror or error}") from error
    except (zipfile.BadZipFile, RuntimeError, ValueError, EOFError) as error:
        raise RequestError(f"it is not a zip archive, or is damaged: {printable(str(error))[:200]}") from error
    except Exception as error:  # zlib, struct and zipfile raise others for damaged bytes
        raise RequestError("it is a damaged zip archive") from error
    return found
