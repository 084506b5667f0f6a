"""The data set card: one HTML page that shows what is in a data set, how it was made and what to beware of."""
