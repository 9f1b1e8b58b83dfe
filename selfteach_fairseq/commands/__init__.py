"""What `selfteach` can do: a module a command, each with add(commands)."""
