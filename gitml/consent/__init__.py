"""What only this machine's user may say, kept outside of every repository: which places a repository may use, whether its steps
may run, and the settings that go with places (token files, endpoints, accounts).

A repository without remotes that was not cloned is its owner's: nothing is asked. About any other its user is asked once.
"""
