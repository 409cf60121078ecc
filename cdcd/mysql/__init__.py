"""The source: connections, the dump (tap.py), start positions, column names. The only importer of pymysql and pymysqlreplication."""
