"""The kinds of fact, a room for each family. `model` lists them all."""
