"""Distillation of the cross-resolution face embedder: data, degradation, networks, losses, training, export."""
