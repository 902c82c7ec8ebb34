"""One candidate for the role `greeter`: becomes primary or waits as a standby, and writes under its token."""

import time

import primacy


class Greeter(primacy.Callbacks):
    def on_standby(self, election: primacy.Election, call: primacy.StandbyCall) -> None:
        print("standby; the primary is", call.holder.address if call.holder else "not known yet")

    def on_warmup(self, election: primacy.Election, call: primacy.WarmupCall) -> primacy.Answer:
        return primacy.Answer.WARM  # load what a primary needs, so that taking over is quick

    def on_primary(self, election: primacy.Election, call: primacy.PrimaryCall) -> None:
        # Commits only while this win holds the lock: never after another process has taken over.
        election.commit(call.token, primacy.Txn().put("greeter/primary-since", time.ctime()))
        print("primary, token", call.token)

    def on_lost(self, election: primacy.Election, call: primacy.LostCall) -> None:
        print("lost token", call.token, call.reason)


candidate = primacy.Candidate(address="127.0.0.1:53100", version="1.0.0")
with primacy.Session({"etcd.endpoints": "localhost:2379"}, candidate) as session:
    election = session.register("greeter", Greeter())
    election.campaign()
    for _ in range(60):  # a real program serves here
        print("primary:", election.is_primary())
        time.sleep(1)
