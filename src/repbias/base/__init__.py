"""What every room may use: the base of all settings, statistics, precision."""
