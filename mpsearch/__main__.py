"""`python -m mpsearch`."""

from mpsearch.cli.app import main

main()
