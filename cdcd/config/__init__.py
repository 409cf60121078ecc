"""What operators write: definitions, settings, credentials; checked, with every mistake named."""
