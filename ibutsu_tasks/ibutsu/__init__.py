"""Ibutsu: its tasks, tables, imports and rules, declared as a task package like any other."""
