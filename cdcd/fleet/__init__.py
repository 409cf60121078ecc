"""ZooKeeper: the fleet's tree, locks, election and plan. The only importer of kazoo."""
