"""Pages in Markdown, common to all families."""
