"""How the bundled tasks were made: frames and words, and a seed that deals the words to the frames."""
