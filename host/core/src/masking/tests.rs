use super::*;

#[test]
fn lines_of_secret_keys_are_hidden_whatever_is_wrong_with_them() {
    for line in [
        "password = \"hunter2\"",
        "password = \"hunter2",
        "password = hunter2",
        "password \"hunter2\"",
        "password: hunter2",
        "  - password : 'hunter2",
        "pasword = \"hunter2\"",
        "PASSWORD=hunter2",
        "\"password\": \"hunter2\",",
        "{\"smtp\": {\"password\" \"x\", \"password\": \"hunter2\"}}",
        "\"pass\\u0077ord\": \"hunter2\"",
        "smtp.password = \"hunter2\"",
        "login = { user = \"a\", password = \"hunter2\" }",
        "token = 'abc' hunter2",
        "api_key = hunter2",
        "Authorization = \"Bearer hunter2\"",
        "password_env = \"hunter2\"",
        "# password = \"hunter2\"",
        "url = \"postgres://app:hunter2@db/shop",
        "url = postgres://app:hunter2@db/shop",
        "ulr = postgres://app:hunter2",
        "url = \"postgres://app:hun\"ter2hunter2@db/shop\"",
        "url = \"postgres://app:p@ss@hunter2@db/shop\"",
        "url = \"host=db user=app password=hunter2\"",
        "url = \"postgres://db/shop?password=hunter2\"",
        "url = \"sqlite:shop.db?key=hunter2\"",
        "url = \"postgres%3A%2F%2Fapp%3Ahunter2%40db\"",
        "url = \"app:hunter2@db/shop\"",
        "url = \"https://hooks.example.com/services/T00/B00/hunter2hunter2hunter2\"",
        "database = \"postgres://app:hunter2@db/shop\"",
        "x = \"postgres://app:hunter2\"",
        "x = \"postgres%3a%2f%2fapp%3Ahunter2%40db\"",
        "x = app:hunter2@db",
        "x = \":hunter2@db\"",
        "x = \"shop.db?cipher_key=hunter2\"",
        "x = \"Server=db;Pwd=hunter2;\"",
        "x = \"postgres://a:b@db/shop?password=hunter2\"",
        "x = { url = \"postgres://a:b@db/shop\", password = \"hunter2\" }",
        "x = { y = \"postgres://a:hunter2@db/shop\", password = \"c\" }",
        "{\"y\": \"a:hunter2@db\", \"token\": \"c\", \"z\": \"postgres://a:hunter2@db\"}",
    ] {
        let masked = mask(line);
        assert!(!masked.text.contains("hunter2"), "{line}\n{}", masked.text);
        assert_eq!(masked.text.len(), line.len());
    }
}

#[test]
fn a_value_is_hidden_over_its_lines_and_no_further() {
    for (text, shown) in [
        ("password = \"\"\"\nhunter2\n\"\"\"\nport = 5", "port = 5"),
        ("password = \"\"\"\nhunter2\nport = 5", ""),
        ("password: |\n  hunter2\n\n  hunter2\nport: 5", "port: 5"),
        ("password:\n  hunter2\nport: 5", "port: 5"),
        ("tokens:\n- hunter2\n- hunter2\nport: 5", "port: 5"),
        ("password: abc\n  hunter2\nport: 5", "port: 5"),
        ("password =\nhunter2\nport = 5", "port = 5"),
        ("? password\n: hunter2\nport: 5", "port: 5"),
        ("\"password\":\n  \"hunter2\",\n\"port\": 5", "\"port\": 5"),
        ("\"password\": \"abc\nhunter2\",\n\"port\": 5", "\"port\": 5"),
        ("tokens = [\n\"hunter2\",\n\"hunter2\"]\nport = 5", "port = 5"),
        ("url:\n  postgres://app:hunter2@db\nport: 5", "port: 5"),
        ("url: >-\n  postgres://app:hunter2\n  @db\nport: 5", "port: 5"),
        ("password =\nport = 5", "port = 5"),
    ] {
        let masked = mask(text);
        assert!(!masked.text.contains("hunter2"), "{text}\n{}", masked.text);
        assert!(masked.text.ends_with(shown), "{text}\n{}", masked.text);
        assert_eq!(masked.text.matches('\n').count(), text.matches('\n').count());
    }
}

#[test]
fn what_is_no_secret_stays() {
    for line in [
        "[smtp.password]",
        "password_env = \"SMTP_PASSWORD\"",
        "secrets = [\"API_TOKEN\"]",
        "headers = { Authorization = \"Bearer ${secret:API_TOKEN}\" }",
        "url = \"https://example.com:8080/orders/{{id}}\"",
        "url = \"https://example.com\", from = \"shop@example.com\"",
        "url = \"sqlite:shop.db\"",
        "url = 7",
        "from = \"Shop <shop@example.com>\"",
        "body_template = '{\"id\": {{id}}}'",
        "condition = \"total > 100 AN status = 'pending'\"",
        "max_attempts = 3",
        "type = \"webhok\"",
        "select = \"x\"",
        "batch_size = = 5",
    ] {
        assert_eq!(mask(line).text, line);
    }
    let misquoted = mask("url = \"postgres://app:hunter2@db/shop\" x").text;
    assert_eq!(misquoted, format!("url = \"postgres://{}", "*".repeat(22)));
    assert_eq!(
        mask("url = \"postgres://app:hunter2@db/shop\"").text,
        "url = \"postgres://app:*******@db/shop\""
    );
}

#[test]
fn messages_about_a_text_do_not_quote_its_secrets() {
    let masked =
        mask("[smtp]\npassword = \"hunt%65r2 x\"\n[database]\nurl = \"postgres://app:s3cr3t@db/shop\"");
    for message in
        ["unknown key `hunt%65r2`", "invalid type: string \"hunter2\"", "found `s3cr3t`", "hunt%65r2 x"]
    {
        let shown = masked.scrub(message);
        assert!(shown.contains("***") && !shown.contains("r2"), "{shown}");
    }
    for message in [
        "`password` is missing: the name of a secret",
        "write postgres://USER:PASSWORD@HOST/NAME, or app@db",
        "`mysql://app:***@db/shop` is not a database URL",
    ] {
        assert_eq!(masked.scrub(message), message);
    }
    let json = mask(r#"[{"token": "abcd", "name": "shop", "password": "hunter2"}, {"name": "list"}]"#);
    assert_eq!(json.scrub("`name` of `list` is not `hunter2`"), "`name` of `list` is not `***`");
    let shown = mask("").scrub("`postgres://a:b@h/d?password=hunter2` and app:hunter2@db");
    assert!(!shown.contains("hunter2"), "{shown}");
    assert_eq!(mask("").scrub("see postgres://a:hunter2@h"), "see postgres://a:*******@h");
}

#[test]
fn a_url_is_shown_without_its_password() {
    for (url, shown) in [
        ("postgres://a:b@h/d?sslmode=require&x=1", "postgres://a:***@h/d?sslmode=require&x=***"),
        ("postgres://a:b c@h:port/d", "postgres://a:***@h:***"),
        ("postgres://a:p@ss@h/d", "postgres://a:***@h/d"),
        ("postgres://a:p?x=1@h/d", "postgres://a:***@h/d"),
        ("postgres://a:hunter2", "postgres://a:***"),
        ("postgres://h:5432/d", "postgres://h:5432/d"),
        ("postgres://me@[::1]:5432/d", "postgres://me@[::1]:5432/d"),
        ("postgres%3A%2F%2Fa%3Ahunter2%40h", "***"),
        ("hunter2@db", "***@db"),
        ("a:hunter2@db", "a:***@db"),
        ("host=db user=a password=hunter2 x", "host=db user=a password=*** ***"),
        ("sqlite:shop.db?key=hunter2", "sqlite:shop.db?key=***"),
        ("sqlite:shop.db;pwd=hunter2", "sqlite:shop.db;pwd=***"),
        ("sqlite:shop.db", "sqlite:shop.db"),
        ("shop.db", "shop.db"),
    ] {
        assert_eq!(without_password(url), shown, "{url}");
    }
}
