"""Measured data in, one offline HTML file out."""
