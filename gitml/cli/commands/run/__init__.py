"""Commands that plan and run pipelines."""
