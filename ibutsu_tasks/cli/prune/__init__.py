"""The command `prune`: plan, question, deletion and what is said of them."""
