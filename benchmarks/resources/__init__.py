"""What sharing saves: memory of the objects that know a version, and disk of its files."""
