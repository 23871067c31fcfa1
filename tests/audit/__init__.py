"""`make audit`: what this program is made of, and what is known against it; written to var/audit/."""
