"""What messages look like: templates as data, executed by the native core."""
