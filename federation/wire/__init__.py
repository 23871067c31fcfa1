"""What crosses between centre and school: frozen documents, one parser, canonical bytes.

Standard library only; signs nothing and reads no disk. docs/protocol.md numbers the rules.
"""
