"""The index: an SQLite file that makes records and results fast to find, and can be rebuilt from them.

`index.Index` is the connection with its transactions, and what has one key: results, Actions, *facts* (computed once, then
remembered). Queries and writes are functions of `runs` (a row a run), `results` (by ActionKey, with *variants* where results of
one key differ) and `artifacts` (who made and used a content).
"""
