"""Measuring on another device: what is packed for it, what runs there, and how what it sends back is judged."""
