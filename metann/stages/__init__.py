"""One file for each verb of the command line and rule of the workflow."""
