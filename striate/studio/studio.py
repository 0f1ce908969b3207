"""What every page of the studio gets: the data sets, the runs, the jobs, the events, the log-ins, the templates."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from striate.errors import RequestError
from striate.studio.applications import Applications
from striate.studio.datasets import DataSets
from striate.studio.files import locked_for_append, require_ordinary
from striate.studio.hub import Hub
from striate.studio.index import Index
from striate.studio.jobs import Jobs
from striate.studio.login import Logins
from striate.studio.pictures import Pictures
from striate.studio.predicting import Predictors
from striate.studio.rendering import Pages
from striate.studio.runs import Runs
from striate.studio.uploads import Uploads
from striate.web.bodies import Bodies
from striate.web.limits import Limits


class Studio:
    """The studio of a folder. One process at a time has it open.

    home: the folder: data sets that are made are in `data/`, runs in `runs/`, the studio's own files in `.studio/`.
    root: below which existing folders may be opened as data. failed: called with a line about an error of the server's.
    Raises RequestError for a folder that cannot be used, that another studio has open, or whose `.studio/` has links.
    """

    def __init__(
        self,
        home: Path,
        root: Path,
        logins: Logins,
        version: str,
        limits: Limits,
        failed: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.home, self.root, self.logins, self.version, self.limits = home, root, logins, version, limits
        self.failed = failed
        self._locked = _opened(home)
        self.hub, self.index = Hub(), Index(home / ".studio" / "index.sqlite")
        self.data, self.runs = DataSets(home, root), Runs(home, self.index)
        self.jobs = Jobs(home, self.index, self.hub.publish, self.runs.resumable, self.runs.finished, failed)
        self.uploads, self.pictures, self.bodies = Uploads(), Pictures(limits), Bodies(limits)
        self.predictors, self.images = Predictors(limits), Bodies(Limits())  # pictures are larger than other bodies
        self.applications = Applications(home, root, self.predictors, limits)
        self.pages = Pages(version)

    def start(self) -> None:
        """Let jobs begin."""
        self.jobs.start()

    def close(self) -> None:
        """Stop everything but the jobs, which go on."""
        self.hub.close()
        self.jobs.close()
        self.index.close()
        self._locked.close()


def _opened(home: Path) -> BinaryIO:
    try:
        (home / ".studio").mkdir(parents=True, exist_ok=True)
        require_ordinary(home / ".studio")
        return locked_for_append(home / ".studio" / "lock")
    except BlockingIOError:
        raise RequestError(f"another studio has {str(home)!r} open; stop it, or give another folder") from None
    except OSError as error:
        raise RequestError(f"cannot use the folder {str(home)!r}: {error.strerror or error}") from error
