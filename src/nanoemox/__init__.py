"""Nano-EmoX: emotion understanding and empathetic response from video, voice and words."""
