"""Eighteen claims people make, decided."""

PARTS = ("in_order",)
