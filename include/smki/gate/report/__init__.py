"""The gate's report: for people on a page, in lines of a log, where they approve."""
