"""What all parts say alike, once: seeds by name, URIs without passwords, the selection rule. Standard library only."""
