"""From a checkpoint to the package that schools run: prepare, tune to chat, export, quantise, add slots, measure."""
