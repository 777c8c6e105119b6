"""The example at the end of a command's help. It imports little: each shell runs `completion`."""


def example(command: str) -> str:
    """An epilog for click. docs/reference/commands.md has the example too, and a test runs it."""
    return f"\b\nExample:\n  {command}"
