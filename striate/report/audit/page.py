"""An audit as one HTML page that a person can act on: what is wrong, in pictures, and a button to save decisions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from striate.report import charts, figures, frame, plot, thumbnails
from striate.report.audit.choices import Choices, save_bar
from striate.report.audit.content import AuditFinding, AuditPage, Entry
from striate.report.audit.script import SCRIPT
from striate.report.audit.verdict import levelled, verdict
from striate.report.audit.words import NOTE, SERIOUS, WORDS
from striate.report.audit.words import heading as plain_heading
from striate.report.frame import quiet, section
from striate.report.thumbnails import Album
from striate.report.wording import fitting, folded_list, text
from striate.sections.wording import counted, number

SHOWN = 60  # pictures of one finding
LISTED = 300  # files of one finding in words
TEXT_ROOM = 650_000  # letters of HTML for all the files' words
BARS = 24  # classes drawn
FEW = 120  # pictures in all, up to which they are fine ones
FOLLOW = '<button type="button" class="follow" hidden>Accept the suggestions of this section</button>'

CSS = """
.entry { margin: 0; min-width: 0; display: flex; flex-direction: column; font-size: .88rem; line-height: 1.35 }
.entry .why { display: block; color: var(--muted) } .entry small { display: block; color: var(--muted);
  font: .74rem/1.35 var(--mono); margin: .2rem 0 .35rem }
.entry select, .entry input { font: inherit; font-size: .84rem; color: inherit; background: var(--page); width: 100%;
  border: 1px solid var(--line); border-radius: 7px; padding: .3rem .35rem; margin-top: auto }
.entry input { margin-top: .3rem } .entry .advice { color: rgb(var(--bad)); display: block; margin-bottom: .2rem }
.entries { display: grid; grid-template-columns: repeat(auto-fill, minmax(10.4rem, 1fr)); gap: 1.3rem 1.1rem }
.cluster { border: 1px solid var(--line); border-radius: 12px; padding: .9rem; margin: 0 0 .9rem }
.clusters { display: flex; flex-wrap: wrap; gap: .9rem } .clusters .cluster { flex: 0 1 auto; margin: 0 }
.cluster .entries { display: flex; flex-wrap: wrap } .cluster .entry { width: 10.4rem }
.row { display: grid; grid-template-columns: minmax(0, 1fr) 14rem; gap: .2rem 1rem; align-items: center;
  border-bottom: 1px solid var(--line); padding: .35rem 0; font-size: .88rem } .row code { font-size: .8rem }
.row .why, .row .advice { color: var(--muted); margin-left: .5em } .row select, .row input { width: 100%;
  font: inherit; color: inherit; background: var(--page); border: 1px solid var(--line); border-radius: 7px;
  padding: .25rem }
.bars td.stack { width: 62% } .stack span { display: flex; height: 12px; gap: 1px }
.stack i { height: 100%; border-radius: 2px; min-width: 1px }
.stack .t0 { background: var(--t0) } .stack .t1 { background: var(--t1) } .stack .t2 { background: var(--t2) }
.stack .t3 { background: var(--t3) } .stack .t4 { background: var(--t4) } .stack .t5 { background: var(--t5) }
.pair-of { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(20rem, 100%), 1fr)); gap: 1.4rem 2.4rem }
.said { font-size: 1.1rem; max-width: 40rem }
.happens { color: var(--muted); margin: -.6rem 0 1.1rem; max-width: 46rem; font-size: .92rem }
#save { position: sticky; bottom: .8rem; display: flex; flex-wrap: wrap; gap: .5rem 1.2rem; align-items: center;
  background: var(--card); border: 1px solid var(--line); border-radius: 14px; padding: .8rem 1.2rem;
  box-shadow: 0 4px 22px rgb(0 0 0 / .16); margin-bottom: 1.1rem }
#save[hidden] { display: none } #save button { font: inherit; font-weight: 600; color: var(--card); cursor: pointer;
  background: rgb(var(--good)); border: 0; border-radius: 9px; padding: .55rem 1.1rem }
#save span { color: var(--muted) } .follow { font: inherit; font-size: .9rem; color: var(--link); cursor: pointer;
  background: none; border: 1px solid var(--line); border-radius: 9px; padding: .35rem .8rem; margin: 0 0 1rem }
.follow[hidden] { display: none }
@media (max-width: 46rem) { .entries { grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 1.1rem .8rem }
  .cluster .entry { width: calc(50% - .6rem) } .row { grid-template-columns: minmax(0, 1fr) } .clusters .cluster {
  width: 100% } }
@media print { #save { display: none } }
"""

STYLE = figures.CSS + plot.CSS + thumbnails.CSS + CSS
HAPPENS = {"set aside": "These files are not used.", "kept": "", "converted": "They were converted and are used."}


def heading(kind: str) -> str:
    """The kind as a heading, HTML."""
    return text(plain_heading(kind))


class _Writer:
    """How much room one page has left for text and pictures, and what is planned for each file."""

    def __init__(self, page: AuditPage) -> None:
        self.album, self.room = Album(), TEXT_ROOM
        pictured = sum(entry.image is not None for finding in page.findings for entry in finding.entries)
        self.small = pictured > FEW  # of few, each can be shown well
        self.choices = Choices(page)
        self.listed: set[str] = set()

    def spend(self, said: str) -> str:
        """`said` if there is room for it, else ""."""
        if len(said) > self.room:
            return ""
        self.room -= len(said)
        return said


def render_audit(page: AuditPage) -> str:
    """The whole page as one string of HTML, under 3 MB whatever the folder; its only script saves the decisions.

    Without the script the page reads as well and names the command that writes the same file.
    """
    writer = _Writer(page)
    pressing = [finding for finding in page.findings if levelled(finding) == SERIOUS]
    pressing += [finding for finding in page.findings if levelled(finding) not in (SERIOUS, NOTE)]
    notes = [finding for finding in page.findings if levelled(finding) == NOTE]
    drawn = [_finding(finding, place, writer) for place, finding in enumerate(pressing)]
    links = [(f"finding-{place}", heading(finding.kind)) for place, finding in enumerate(pressing)]
    links = [("folder", "Contents"), *links[:14], *([("notes", "Handled automatically")] if notes else [])]
    body = f"{_hero(page, pressing)}{_folder(page)}{''.join(drawn)}{_notes(notes, writer)}"
    saved = ""
    if any(finding.entries for finding in page.findings):
        saved = save_bar(page.command, writer.choices.missing(writer.listed)) + writer.choices.lists()
    main = f"{frame.contents(links)}<main>{body}</main>{saved}"
    return frame.document(text(page.title), text(page.data), main, STYLE, SCRIPT)


def _hero(page: AuditPage, pressing: Sequence[AuditFinding]) -> str:
    found = verdict(page, pressing)
    steps = frame.next_steps("What to do first", [(anchor, text(do), text(why)) for anchor, do, why in found.steps])
    return (
        f'<section class="hero" id="result"><div><h2>Data quality</h2><div class="big words">{text(found.word)}</div>'
        f'<p class="said">{text(found.said)}</p><p class="quiet">{text(found.more)}</p></div>{steps}</section>\n'
    )


def _folder(page: AuditPage) -> str:
    """Class balance and sizes."""
    drawn = _balance(page)
    if page.sizes is not None:
        sizes = charts.size_scatter(page.sizes)
        drawn += f'<div class="charts">{sizes}</div>' if sizes else ""
    body = f'<div class="pair-of">{drawn}</div>' if drawn else quiet("None of its images can be used.")
    notes = "".join(quiet(text(note)) for note in page.notes)
    return section("folder", "Contents", "", body + notes)


def _balance(page: AuditPage) -> str:
    """Images of each class as bars, a tone for each part; of many classes the largest and the smallest."""
    parts = list(dict.fromkeys(part for counts in page.counts.values() for part in counts))[:6]
    rows = sorted(page.counts.items(), key=lambda row: -sum(row[1].values()))
    if not rows:
        return ""
    one, many = text(page.wording.one), text(page.wording.many)
    left, title = 0, f"Images of each {one}" if page.wording.names_listed else "Images"
    if len(rows) > BARS:
        left, half = len(rows) - BARS, BARS // 2
        title = f"Images of the {half} largest and the {half} smallest {many}; {number(left)} more between them"
        rows = rows[:half] + rows[-half:]
    most = max(sum(counts.values()) for _, counts in rows) or 1
    body = "".join(_bar(name, counts, parts, most) for name, counts in rows)
    key = "".join(f'<span><i class="t{place}"></i>{text(part)}</span>' for place, part in enumerate(parts))
    named = f'<div class="key">{key}</div>' if parts != ["all"] else ""
    return f'<div><p>{title}</p><table class="bars"><tbody>{body}</tbody></table>{named}</div>'


def _bar(name: str, table: Mapping[str, int], parts: Sequence[str], most: int) -> str:
    drawn = "".join(
        f'<i class="t{place}" style="width:{100 * table[part] / most:.1f}%"'
        f' title="{text(part)} {number(table[part])}"></i>'
        for place, part in enumerate(parts)
        if table.get(part)
    )
    total = number(sum(table.values()))
    return (
        f'<tr><th scope="row">{text(name)}</th><td class="stack"><span>{drawn}</span></td>'
        f'<td class="num">{total}</td></tr>'
    )


def _finding(finding: AuditFinding, place: int, writer: _Writer) -> str:
    """A finding as a section: what it means, what happens, its files with their pictures and choices."""
    known = WORDS.get(finding.kind)
    meaning = text(known.meaning if known else finding.explanation)
    tone = " bad" if levelled(finding) == SERIOUS else ""
    about = counted(len(finding.names), "class", "classes") if finding.names else counted(finding.files, "file")
    happens = HAPPENS.get(finding.action, text(finding.action))
    policy = f"{text(finding.kind)}, {text(finding.action)}: {text(finding.explanation.rstrip('.?! '))}. {happens}"
    # A likely label error is decided by looking at it: accepting all at once trains on the model's guesses.
    advised = [kind for entry in finding.entries if (kind := writer.choices.advised(entry)) not in ("", "keep")]
    body = (
        (FOLLOW if len(advised) > 1 and "relabel" not in advised else "")
        + _names(finding.names)
        + _files(finding, writer)
    )
    return (
        f'<section id="finding-{place}"><h2>{heading(finding.kind)}<span class="tag{tone}">{about}</span></h2>'
        f'<p class="lead">{meaning}</p><p class="happens">{policy}</p>{body}</section>\n'
    )


def _names(names: Sequence[str]) -> str:
    """The classes a finding is about."""
    if len(names) > 12:
        return folded_list("Which classes", [text(name) for name in names])
    return f"<p>{', '.join(f'<b>{text(name)}</b>' for name in names)}</p>" if names else ""


def _files(finding: AuditFinding, writer: _Writer) -> str:
    """Groups side by side, then single files: with pictures while they last, then in words, then only counted."""
    grouped = {place for group in finding.groups for place in group}
    shown_paths: list[str] = []
    clusters, shown, rows = [], 0, []
    for group in finding.groups:
        entries = [finding.entries[place] for place in group]
        if shown + len(entries) <= SHOWN and (drawn := _figures(entries, writer)):
            clusters.append(f'<div class="cluster"><div class="entries">{"".join(drawn)}</div></div>')
            shown, shown_paths = shown + len(entries), shown_paths + [entry.path for entry in entries]
        else:
            rows += entries
    singles = []
    for place, entry in enumerate(finding.entries):
        if place in grouped:
            continue
        if shown < SHOWN and (drawn := _figures([entry], writer)):
            singles += drawn
            shown += 1
            shown_paths.append(entry.path)
        else:
            rows.append(entry)
    listed = [(entry, row) for entry in rows[:LISTED] if (row := writer.spend(_row(entry, writer)))]
    writer.listed |= {*shown_paths, *(entry.path for entry, _ in listed)}
    left = finding.files - len(shown_paths) - len(listed)
    body = f'<div class="clusters">{"".join(clusters)}</div>' if clusters else ""
    body += f'<div class="entries">{"".join(singles)}</div>' if singles else ""
    if listed:
        lines = "".join(row for _, row in listed)
        without = counted(len(listed), "more file") if shown_paths else counted(len(listed), "file")
        fold = f"<details><summary>{without} without a picture</summary>{lines}</details>"
        body += fold if shown_paths or len(listed) > 12 else lines
    more = quiet(f"{counted(left, 'more file')} not on this page.") if left > 0 and finding.entries else ""
    return body + more


def _figures(entries: Sequence[Entry], writer: _Writer) -> list[str]:
    """Every entry as a framed picture with its choices; empty unless all of them have one and there is room."""
    if writer.album.most < len(entries) or any(entry.image is None for entry in entries):
        return []
    facts, words = [writer.choices.facts(entry) for entry in entries], [_caption(entry, writer) for entry in entries]
    frames = [writer.album.frame(entry.image, text(entry.label or entry.path), writer.small) for entry in entries]
    if not all(frames) or not writer.spend("".join(facts + words)):
        return []
    return [
        f'<figure class="entry"{known}>{framed}{said}</figure>'
        for known, framed, said in zip(facts, frames, words, strict=True)
    ]


def _caption(entry: Entry, writer: _Writer) -> str:
    where = " &middot; ".join(text(said) for said in (entry.label, entry.part) if said)
    why = f'<span class="why">{text(entry.why)}</span>' if entry.why else ""
    return f"<b>{where}</b>{why}<small>{text(entry.path)}</small>{writer.choices.select(entry)}"


def _row(entry: Entry, writer: _Writer) -> str:
    where = ", ".join(text(said) for said in (entry.label, entry.part, entry.why) if said)
    return (
        f'<div class="row"{writer.choices.facts(entry)}><div><code>{text(entry.path)}</code>'
        f'<span class="why">{where}</span></div><div>{writer.choices.select(entry)}</div></div>'
    )


def _notes(findings: Sequence[AuditFinding], writer: _Writer) -> str:
    """What was dealt with and needs nobody, in short."""
    if not findings:
        return ""
    body = ""
    for finding in findings:
        paths = [f"<code>{text(entry.path)}</code> {text(entry.why)}" for entry in finding.entries]
        kept = fitting(paths, 100, min(30_000, max(0, writer.room)))
        writer.room -= sum(map(len, kept))
        left = finding.files - len(kept)
        rows = kept + ([f"and {number(left)} more"] if left > 0 and kept else [])
        listed = folded_list("Which files", rows) if rows else ""
        body += (
            f'<div class="finding"><b>{heading(finding.kind)}</b>: {number(finding.files)}'
            f'<span class="tag">{text(finding.action)}</span>'
            f"<p>{text(finding.kind)}: {text(finding.explanation)}</p>{listed}</div>"
        )
    return section("notes", "Handled automatically", "Nothing to do here; listed for completeness.", body)
