"""Pictures and tables of workflows, runs and logs."""
