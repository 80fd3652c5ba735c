"""What is asked: concepts, their words, the prompts that carry them and the controls that do not."""
