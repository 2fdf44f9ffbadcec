"""From a configuration to jobs: what is made, checked, asked for and rerun."""
