"""What of the documentation is generated: from the registries, the command line, and runs of real netlists in Icarus."""
