"""What is made of the records of a run: one page, a table for the README, a comparison."""
