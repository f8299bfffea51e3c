"""A step that writes a text in capitals."""

def run(text
    return text.upper()
