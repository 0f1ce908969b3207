"""Who may use the studio: a token in the address that is printed, exchanged once for a cookie; a bearer for programs.

The token is new at each start and at each exchange, so that an address in a history or a log opens nothing.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable

from starlette.datastructures import Headers

from striate.web.guard import Site, has_token, same
from striate.web.refusals import Refused

OPEN = ("/login", "/static/", "/favicon.ico")  # without a cookie: nothing of the user's
MOST_COOKIES = 4  # of our name: another port of the same host may set one, too
MOST = 50  # browsers that are logged in; the first of more are logged out


class Logins:
    """The logged-in browsers. port: names the cookie, because browsers share cookies between ports of a host.

    bearer: what programs send, and people may type; "" for none. changed: called with the new token when one was used.
    """

    def __init__(self, site: Site, port: int, bearer: str = "", changed: Callable[[str], None] = lambda token: None):
        self.cookie = f"striate-{port}"
        self.token = secrets.token_urlsafe(32)
        self._site, self._bearer, self._changed = site, bearer, changed
        self._sessions: list[str] = []
        self._lock = threading.Lock()

    def exchange(self, given: str) -> str | None:
        """The secret of a new session, for the token or the bearer; None for another text."""
        with self._lock:
            once = same(given, self.token)
            if not once and not (self._bearer and same(given, self._bearer)):
                return None
            if once:
                self.token = secrets.token_urlsafe(32)
            session = secrets.token_urlsafe(32)
            self._sessions = [*self._sessions, session][-MOST:]
        if once:
            self._changed(self.token)
        return session

    def check(self, headers: Headers, method: str, path: str, scheme: str) -> None:
        """Raise Refused for a request to another host, or from another site."""
        self._site.check(headers, method, scheme)

    def require(self, headers: Headers, method: str, path: str) -> None:
        """Raise Refused for a request of nobody who has logged in."""
        if path.startswith(OPEN):
            return
        if self._bearer and has_token(headers, self._bearer):
            return
        if not self._has_session(headers.get("cookie", "")):
            raise Refused(401, "log in first: the address with the token was printed when the studio started")
        if method not in ("GET", "HEAD") and not ({"origin", "sec-fetch-site"} & set(headers.keys())):
            raise Refused(403, "a browser says where a request comes from; programs send a token", close=True)

    def _has_session(self, cookies: str) -> bool:
        pairs = (one.strip().partition("=") for one in cookies.split(";"))  # those of others may be of any form
        given = [value for name, _, value in pairs if name == self.cookie][:MOST_COOKIES]
        with self._lock:  # all of them, in a time that tells nothing
            return sum(same(mine, one) for one in self._sessions for mine in given) > 0
