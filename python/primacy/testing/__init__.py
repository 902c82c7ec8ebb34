"""A kit for fault tests: real etcd servers and coordinators as processes, faults, one history, checks on it.

| module | what it does |
|---|---|
| `changes` | waits for conditions, never for durations |
| `process` | children that are signalled, paused, killed, and never outlive their parent |
| `etcd` | one member or several, plain, with TLS, with users; killed, paused, put back to a copy |
| `gateway` | reads, writes, watches and administers any etcd, through its JSON gateway |
| `certificates` | an authority, and what it signs |
| `link` | a connection that falls silent, breaks, or is slow |
| `machine` | a network that loses packets, a clock that runs at another rate |
| `coordinator` | the sample coordinator as a process |
| `candidate` | a place in a cluster that one coordinator after the other fills |
| `history` | all that was seen, in order |
| `checks` | what must never be in a history |
| `scene` | candidates on an etcd, from the first to the verdict |
| `timeline`, `report` | a run as a page: who was what when, faults, takeover times |
| `plugin` | all this as pytest fixtures |
"""
