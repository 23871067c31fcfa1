"""Programs for schools' PCs: published as TUF targets, offered to schools, and what became of them there (0111)."""
