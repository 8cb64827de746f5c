"""Offline pages: a frame, figures and charts, for whoever has something to show. Drawing needs the ``report`` extra."""
