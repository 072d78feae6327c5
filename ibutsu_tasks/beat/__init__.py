"""The scheduler: any number of beats may run, one leads, and every entry is sent once.

The lead is a lease in the broker's Redis, where the messages go. Who leads, what was sent when, and the
message itself are one step there, so a beat that was frozen and wakes up too late changes nothing.
"""
