"""What is in a binlog: GTID sets, positions, table schemas, statements. Pure; core/ is the native decoder and encoder."""
