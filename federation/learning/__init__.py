"""Learning across schools: LoRA updates, their aggregation, the local trainer and the Flower apps."""
