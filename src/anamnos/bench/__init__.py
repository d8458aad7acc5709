"""What is measured, with which formula, on which data. Nothing here is needed to remember or to recall."""
