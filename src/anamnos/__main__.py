"""``python -m anamnos``: the command line."""

from anamnos.cli.main import main

main()
