"""`striate studio`: the local web page on which a person makes data sets, audits, trains, compares, tries and ships.

What is where: `studio.Studio` is what every page gets: `data` (data sets, their pictures by number, their decisions),
`runs` (run folders), `jobs` (command lines in processes that outlive the server), `hub` (events), `logins`, `pages`
(templates and static files), `predictors` (models that are tried), `applications` (indexes and networks of style in the
folder). `held_out` has what a run was measured on, `looking` and `results` the jobs that explain and export, and what
they left. `app` puts the pages together; `server` is the process; `describing` has runs and jobs as the facts that
pages show and the API answers.

How a page is added:

1. `pages/NAME.py` with `add(app, studio)`, and its name in `app.PAGES`. A page is a GET route with
   `include_in_schema=False` that returns `studio.pages.page(request, "NAME.html", values)`; `values` has at least
   `title`, and `event=studio.hub.last` if the page listens. Routes that touch files are `def`, not `async def`.
2. `templates/NAME.html` extends `base.html` and fills `body`, and `head` with its script. Addresses begin with
   `{{ root }}`, and names in them pass the filter `segment`. Values are escaped; nothing may be marked safe but charts
   of the report. Every page ends with `command(...)` of `macros.html`: the command line that does the same.
3. `static/NAME.js` is a module of at most 300 lines that imports `page.js`: `api(method, path, body)`,
   `say(line, bad)`, `tried(work)`, `element(...)`, `onEvent(listener)`. No inline script, no inline handler: the
   policy forbids both. Colours are the variables of the report's style, so that light and dark come by themselves.
4. The API is JSON below `/api/`: a `pydantic` model for a body, a dict for an answer, `{"error": line}` for an error.
   Raise `RequestError` for a wrong request (400), `Refused` for another status. Never take a path: pictures are numbers
   of `DataSet.listed()`, runs are names of `studio.runs.get(name)`, uploads are read within limits.
5. Long work is a job: `studio.jobs.add(kind, arguments, shown)`, the command line that a person could run. It tells its
   progress by events {"job": N, "kind": ..., "run": ... or "data": ...}; `job_facts` has its state, bars and messages.
6. Tests start the studio with `studio_app.running(folder)`, of tests/studio, and are logged in there. An address of a
   page in the navigation is appended to `rendering.NAV`; tabs of a run are in tabs.html.
"""
