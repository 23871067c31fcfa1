"""The school's textbooks: files that teachers add, read into passages that answers are drawn from and cite."""
