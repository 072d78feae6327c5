"""From the content of an upload to the rows of a run, all or nothing."""
