"""HTTP with limits against hostile servers: how long an answer takes, how large it is, where it sends us, what is sent along."""
