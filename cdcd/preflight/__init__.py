"""What is, or may become, wrong in the operator's systems: pure checks over facts that others have gathered."""
