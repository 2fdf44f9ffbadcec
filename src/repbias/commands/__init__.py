"""The subcommands of ``repbias``, one module each, and what they share."""
