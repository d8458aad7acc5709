"""Public data sets as cases for ``bench/retrieval.py``, one file each. None of the data is part of this project."""
