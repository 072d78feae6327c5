"""What the doctor looks at of Ibutsu: imports, prunes, and the indexes these need."""
