"""What will not work, or not work well, in a plugin that somebody is about to publish.

`contents` reads what `publish` would publish, within bounds. Each `*_rules` module is a set of
functions from contents to findings, and does not know the others. `linting` runs them all. Nothing
is changed, and no JavaScript is run.

The first aim is that there are no false alarms: where a bundle has a form that is not known, no
rule says anything about it.
"""
