"""Who may do what with which memory, what is delicate, what must go when, and the record of it all."""
