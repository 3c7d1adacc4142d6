"""Encoders learned from texts alone, by masked-language modelling."""
