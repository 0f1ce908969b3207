"""What can be decided about each file of an audit, as HTML that the page's script reads and saves."""

from __future__ import annotations

from urllib.parse import quote

from striate.report.audit.content import DECISIONS, AuditPage, Entry, plans
from striate.report.wording import fitting, text
from striate.sections.wording import counted

CLASSES_ROOM = 80_000  # letters of HTML for the names of classes to choose from


class Choices:
    """The choices of one page. Files that are not used anyway, and about which nothing is suggested, have none."""

    def __init__(self, page: AuditPage) -> None:
        self._page = page
        self._plans = plans(page)
        self._order = {path: place for place, path in enumerate(self._plans)}
        used = [finding for finding in page.findings if finding.action != "set aside"]
        self._open = {entry.path for finding in used for entry in finding.entries}
        self._open |= {path for path, plan in self._plans.items() if plan.suggested}

    def facts(self, entry: Entry) -> str:
        """Attributes for the script: names percent-encoded byte for byte, since not every file name is text."""
        if entry.path not in self._open:
            return ""
        plan = self._plans[entry.path]
        why = f' data-why="{raw(plan.why)}"' if plan.why else ""
        return why + (
            f' data-path="{raw(entry.path)}" data-found="{raw(plan.found)}" data-suggested="{raw(plan.suggested)}"'
            f' data-row="{self._order[entry.path]}" data-label="{text(entry.label)}" data-part="{text(entry.part)}"'
        )

    def select(self, entry: Entry) -> str:
        """What is suggested, and what can be chosen; the script adds the other classes and parts."""
        if entry.path not in self._open:
            return ""
        plan = self._plans[entry.path]
        kind, _, to = plan.suggested.partition(" ")
        value = f"{kind}:{raw(to)}" if to else kind
        options = [("keep", DECISIONS["keep"]), ("drop", DECISIONS["drop"])]
        if to:
            options.append((value, self._spoken(kind, to)))
        chosen = f"{plan.decision}:{raw(plan.to)}" if plan.to else plan.decision
        listed = "".join(
            f'<option value="{key}"{" selected" if key == chosen else ""}{" data-advised" if key == value else ""}>'
            f"{words}</option>"
            for key, words in options
        )
        said = ""
        if kind in ("drop", "relabel", "move"):
            word = "Chosen for you" if plan.decision == kind else "Suggested"
            reason = f" ({text(plan.why)})" if plan.why else ""
            said = f'<span class="advice">{word}: {self._spoken(kind, to)}{reason}</span>'
        return f'{said}<select aria-label="decision" autocomplete="off">{listed}</select>'

    def advised(self, entry: Entry) -> str:
        """The kind of decision that is suggested about a file; empty for none."""
        return self._plans[entry.path].suggested.partition(" ")[0]

    def missing(self, shown: set[str]) -> int:
        """How many files that a decisions file would name are not on the page."""
        return sum(bool(plan.suggested) and path not in shown for path, plan in self._plans.items())

    def lists(self) -> str:
        """The classes and parts there are to choose from, for the script."""
        page = self._page
        classes = page.classes or (tuple(page.counts) if page.wording.names_listed else ())
        found = dict.fromkeys(part for counts in page.counts.values() for part in counts if part != "all")
        listed = fitting((_option(name) for name in classes), 5000, CLASSES_ROOM)
        parts = "".join(_option(name) for name in (page.parts or tuple(found))[:12])
        complete = "yes" if page.one_class and len(listed) == len(classes) else "no"
        return (
            f'<datalist id="classes" data-complete="{complete}" data-ask="{text(page.wording.relabel)}" '
            f'data-hint="{text(page.wording.hint)}" data-thing="{text(page.wording.target)}">'
            f"{''.join(listed)}</datalist>"
            f'<datalist id="parts">{parts}</datalist>'
        )

    def _spoken(self, kind: str, to: str) -> str:
        if kind == "relabel":
            return f"change {text(self._page.wording.target)} to {text(to)}"
        return f"move it to {text(to)}" if kind == "move" else DECISIONS[kind]


def _option(name: str) -> str:
    return f'<option value="{text(name)}" data-name="{raw(name)}"></option>'


def raw(name: str) -> str:
    """A name as the percent-encoded bytes it has on disk."""
    try:
        return quote(name.encode("utf-8", "surrogateescape"), safe="")
    except UnicodeEncodeError:  # half a pair, which no file system gives
        return quote(name.encode("utf-8", "surrogatepass"), safe="")


def save_bar(command: str, missing: int) -> str:
    """The button, shown by the script; without it, the command that writes the same file."""
    use = f" Then: <code>{text(command)}</code>" if command else ""
    more = ""
    if missing:
        more = f" {counted(missing, 'file')} not on this page: <code>striate audit --fix-list</code> writes them all."
    return (
        '<div id="save" hidden><button type="button">Save decisions</button><span id="tally" aria-live="polite"></span>'
        f"<span>{use}{more}</span></div>"
        "<noscript><section>Your browser runs no scripts here, so the choices above cannot be saved from this page. "
        "<code>striate audit --fix-list</code> writes the same suggestions as a file to edit.</section></noscript>"
    )
