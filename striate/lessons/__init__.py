"""Teaching pages: one offline HTML file for each subject, with the numbers computed in Python and again by its script.

`convolution`, `optimizers`, `scaling`, `fields`, `normalisation`, `dropout` and `paths` compute; `pages` has the page
of each, and `scripts` its JavaScript. `striate.jobs.lesson.lesson_page` makes a page.
"""
