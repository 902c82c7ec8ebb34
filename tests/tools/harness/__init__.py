"""What the demo and the tests share: a real etcd, sample coordinators, waiting for conditions."""
