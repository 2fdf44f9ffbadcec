"""What every other subpackage may use: the base of all settings, statistics, precision."""
