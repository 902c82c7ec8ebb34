"""The main job of primacy, for people: real processes, a real etcd, faults, and a verdict.

`story` breaks things and says what must follow; `candidate` and `client` are the processes it does that to;
`judge` decides from the recorded history alone; `view` shows it; `__main__` puts them together.
"""
