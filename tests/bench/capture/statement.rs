//! Statements of any number of rows, by all ways in which rows change.

/// Tables beside that of the orders: children that go with their parent, and a log that the application writes itself.
pub(super) const TABLES: &str = "
    CREATE TABLE baskets (id integer PRIMARY KEY);
    CREATE TABLE order_lines (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        basket integer NOT NULL REFERENCES baskets ON DELETE CASCADE,
        product text);
    CREATE INDEX order_lines_by_basket ON order_lines (basket);
    CREATE TABLE change_log (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, object_type text NOT NULL, object_id text,
        modification_type text NOT NULL, object_data jsonb, created_at timestamptz NOT NULL DEFAULT now());";

/// They follow each other: orders are there from the insert to the delete.
#[derive(Clone, Copy)]
pub(super) enum Statement {
    Insert,
    Update,
    Upsert,
    Merge,
    Delete,
    Copy,
    Cascade,
    ChangeLog,
}

impl Statement {
    pub(super) const ALL: [Self; 8] = [
        Self::Insert,
        Self::Update,
        Self::Upsert,
        Self::Merge,
        Self::Delete,
        Self::Copy,
        Self::Cascade,
        Self::ChangeLog,
    ];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Insert => "INSERT",
            Self::Update => "UPDATE",
            Self::Upsert => "upsert",
            Self::Merge => "MERGE",
            Self::Delete => "DELETE",
            Self::Copy => "COPY",
            Self::Cascade => "cascade",
            Self::ChangeLog => "change log",
        }
    }

    /// What has to be there first.
    pub(super) fn before(self, rows: usize) -> String {
        match self {
            Self::Insert | Self::Copy => "TRUNCATE orders RESTART IDENTITY".to_owned(),
            Self::Cascade => format!(
                "INSERT INTO baskets VALUES (1);
                 INSERT INTO order_lines (basket, product) SELECT 1, 'product ' || i FROM generate_series(1, {rows}) AS i"
            ),
            _ => "SELECT 1".to_owned(),
        }
    }

    /// Changes so many rows.
    pub(super) fn text(self, rows: usize) -> String {
        match self {
            Self::Insert => format!(
                "INSERT INTO orders (customer, country, status, total, note)
                 SELECT 'customer ' || i, 'AT', 'pending', i + 0.25, 'a note of ordinary length for order ' || i
                 FROM generate_series(1, {rows}) AS i"
            ),
            Self::Update => "UPDATE orders SET status = 'paid', total = total + 1".to_owned(),
            Self::Upsert => "INSERT INTO orders OVERRIDING SYSTEM VALUE SELECT * FROM orders
                 ON CONFLICT (id) DO UPDATE SET status = 'sent', total = orders.total + 1"
                .to_owned(),
            Self::Merge => "MERGE INTO orders AS o USING (SELECT id FROM orders) AS s ON o.id = s.id
                 WHEN MATCHED THEN UPDATE SET status = 'back', total = o.total + 1"
                .to_owned(),
            Self::Delete => "DELETE FROM orders".to_owned(),
            Self::Copy => format!("COPY orders (customer) FROM PROGRAM 'seq {rows}'"),
            Self::Cascade => "DELETE FROM baskets".to_owned(),
            Self::ChangeLog => format!(
                "INSERT INTO change_log (object_type, object_id, modification_type, object_data)
                 SELECT 'Order', i, 'INSERT', jsonb_build_object('id', i, 'customer', 'customer ' || i)
                 FROM generate_series(1, {rows}) AS i"
            ),
        }
    }
}
