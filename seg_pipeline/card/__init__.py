"""The data set card: one HTML page that works offline. `page.render` makes it; the other modules are its parts."""
