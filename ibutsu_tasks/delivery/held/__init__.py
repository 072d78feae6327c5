"""Messages under a lease: taken, held, acknowledged, and given to others when their holder is gone."""
