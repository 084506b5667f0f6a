"""The data set card: one HTML page that needs no other file and no network.

`page.render` makes it of a `page.DataCard`; `gallery` chooses and reads its pictures; `sections`, `tables`, `charts`
and `text` are its parts, from the large to the small. The template, style sheet and script are beside them.
"""

__all__ = ['charts', 'gallery', 'page', 'sections', 'tables', 'text']
