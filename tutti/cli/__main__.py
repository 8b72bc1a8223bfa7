"""`python -m tutti.cli` is `tutti`."""

from tutti.cli.main import main

main()
