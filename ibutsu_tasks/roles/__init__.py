"""The processes that live on: how worker, beat and Flower are started in this process."""
