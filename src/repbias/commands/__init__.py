"""The subcommands of ``repbias``: look into a file, check a study, start one."""
