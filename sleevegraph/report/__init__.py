"""The forensic report: facts of one portfolio at one rebalance become one page that needs nothing else."""
