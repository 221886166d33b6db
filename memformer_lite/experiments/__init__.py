"""The book's longer experiments: what is run, how it is measured, and the records of it."""
