"""The command `import`, and `up --once`: send files, follow their imports, show the runs they became."""
