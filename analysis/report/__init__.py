"""One self-contained page about studies: what was asked, run, found, and how to run it again."""
