"""The pipeline language: from the bytes of a file to a Graph, or every mistake in the file at once.

A Node is a YAML value with its position, a Key one key of a mapping (`keys`), a Template text with expressions in it, a Ref one
expression. A StepKind is what a step does: run a command or use a module. A Pipeline is a checked file; `expand`
makes the Graph of it, with every value filled in and every matrix spread out. A Diagnostic is one mistake.
"""
