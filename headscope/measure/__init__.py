"""MODEL PASS -> NAMED ARRAYS: where heads look, what the model would say, and what it says, with and without edits.

``passes`` turns sequences into batches; ``attention`` reads probes; ``lexicons`` finds the tokens of a concept's words;
``edits`` says what a head's output becomes; ``forced`` measures edited passes on fixed text; ``generation`` lets the
model write; ``texts`` scores what it wrote.
"""
