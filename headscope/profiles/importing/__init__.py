"""Other people's files of tasks, as rows of a profile: a kind a file; ``importing`` puts them together.

An importer says which columns it knows a file by, and makes of each record a row or the reason why it is left out.
"""
