"""THE MODEL: loaded, opened at two places (attention rows are read, heads are edited), and proved to be what it claims.

``loading`` makes a ``HeadModel``; ``anatomy`` finds its heads by a dry run; ``reading`` and ``editing`` are the two
seams; ``running`` holds the forward passes; ``laws`` proves all of it when the model is loaded.
"""
