"""What the doctor looks at of Ibutsu: its imports."""
