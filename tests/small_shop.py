"""A small schema, and what its queries are expected to use."""

from __future__ import annotations

# A schema of two migrations; the second one makes the index that the query uses.
SHOP = {
    "1_create_shop.sql": """
        CREATE TABLE customer (id INTEGER PRIMARY KEY, name TEXT);
        CREATE TABLE purchase (
            id INTEGER PRIMARY KEY, customer_id INTEGER REFERENCES customer(id) ON DELETE CASCADE, amount INTEGER
        );
    """,
    "1_create_shop.rollback.sql": "DROP TABLE purchase; DROP TABLE customer;",
    "2_index_purchases.sql": "CREATE INDEX idx_purchase_customer ON purchase (customer_id);",
    "2_index_purchases.rollback.sql": "DROP INDEX idx_purchase_customer;",
    "verify/purchases.sql": """
        -- name: purchases of a customer
        -- expect: SEARCH purchase USING INDEX idx_purchase_customer (customer_id=?)
        SELECT * FROM purchase WHERE customer_id = :customer;
    """,
}
