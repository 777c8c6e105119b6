"""What operators do with a site: make it, check it, compare its data, mend and migrate it."""
