"""Changes that both families of servers are asked for: each a script of SQL statements."""

TRIGGERS = (
    "CREATE TABLE watched (id INT PRIMARY KEY, n INT)",
    "CREATE TABLE audit (id INT PRIMARY KEY AUTO_INCREMENT, was INT, now_ INT)",
    "CREATE TRIGGER watch AFTER UPDATE ON watched FOR EACH ROW INSERT INTO audit (was, now_) VALUES (OLD.n, NEW.n)",
    "INSERT INTO watched VALUES (1, 1), (2, 2), (3, 3)",
    "UPDATE watched SET n = n * 10",
)

SEVERAL_TABLES = (
    "CREATE TABLE one (id INT PRIMARY KEY, c VARCHAR(9))",
    "CREATE TABLE two (id INT PRIMARY KEY, c VARCHAR(9), UNIQUE (c))",
    "INSERT INTO one VALUES (1, 'a'), (2, 'b'), (3, 'c')",
    "INSERT INTO two VALUES (1, 'a'), (2, 'b'), (3, 'c')",
    "UPDATE one JOIN two USING (id) SET one.c = 'x', two.c = CONCAT('y', id) WHERE id < 3",
    "REPLACE INTO two VALUES (7, 'c'), (1, 'new')",
    "INSERT INTO one VALUES (1, 'dup'), (4, 'd') ON DUPLICATE KEY UPDATE c = 'changed'",
    "INSERT IGNORE INTO one VALUES (1, 'ignored'), (5, 'e')",
    "DELETE one, two FROM one JOIN two USING (id) WHERE id = 2",
)

SAVEPOINTS = (
    "CREATE TABLE saved (id INT PRIMARY KEY)",
    "BEGIN",
    "INSERT INTO saved VALUES (1)",
    "SAVEPOINT a",
    "INSERT INTO saved VALUES (2)",
    "SAVEPOINT b",
    "INSERT INTO saved VALUES (3)",
    "ROLLBACK TO SAVEPOINT b",
    "INSERT INTO saved VALUES (4)",
    "RELEASE SAVEPOINT a",
    "COMMIT",
    "BEGIN",
    "INSERT INTO saved VALUES (5)",
    "ROLLBACK",
)
"""1, 2 and 4 stay."""
