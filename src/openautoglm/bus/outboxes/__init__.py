"""Durable stores."""
