"""Performs Actions on this machine. Knows no Graph, no Git and no store but by the protocols of `interfaces`.

- A *Task* is an Action with what one try of it needs; the *executor* takes Tasks and reports events of them.
- The *supervisor* is a process between gitml and its workers: it starts them, and ends what a killed one left.
- A *worker* is a lasting process that performs one *attempt* at a time: sandbox, environment, process, outputs, report.
- A *gang* is a step of several processes; its *rendezvous* is where they find one another.
- The *log* of an attempt is what it wrote, *masked*: without what is secret.
"""
