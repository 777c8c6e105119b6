"""What the text of a bundle says: pure functions over text; no JavaScript is run.

Known are the outputs of webpack 5, of `@module-federation/enhanced`, of rspack, and of the two
federation plugins of Vite, minified and not. Each function answers None, or nothing, for a text of
another form: a linter that guesses gives false alarms. tests/bundles holds the functions against
real builds.
"""
