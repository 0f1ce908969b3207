"""Teaching pages: one offline HTML file for each subject, with the numbers computed in Python and again by its script.

`convolution`, `optimizers`, `scaling`, `fields`, `normalisation` and `paths` compute; `pages` has the page of each, and
`scripts` its JavaScript. `pages.lesson_page` makes a page.
"""
