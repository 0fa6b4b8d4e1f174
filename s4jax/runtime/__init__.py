"""What a run stands on: files, checkpoints, signals, devices and hosts, seeds, progress."""
