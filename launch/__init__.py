"""From a recipe to running processes: devices, plan, checks, run folder, following."""
