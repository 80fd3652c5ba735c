"""How the bundled model was made: the grammar of its corpus, its tokenizer, its training and its checks."""
