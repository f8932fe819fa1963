//! Proxies of the environment are not used: they would see what was granted towards somebody else.

use serde_json::json;

use super::way::{GuestRequest, WAYS};
use crate::{own_process::is_own, wire::Wire};

#[test]
fn proxies_of_the_environment_are_not_used() {
    const NAMES: [&str; 6] =
        ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];
    const PORT: &str = "PROXY_OF_THIS_TEST";
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let proxy = Wire::answering("200 OK\r\ncontent-length: 5\r\n\r\nproxy").await;
        let url = proxy.origin();
        let mut environment: Vec<(&str, &str)> = NAMES.iter().map(|name| (*name, url.as_str())).collect();
        environment.push((PORT, &url));
        // The child asks the server that it started itself; its environment names the server of this process.
        let child = tokio::task::spawn_blocking({
            let owned: Vec<(String, String)> =
                environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            move || {
                let borrowed: Vec<_> =
                    owned.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
                is_own("egress::proxies::proxies_of_the_environment_are_not_used", &borrowed)
            }
        });
        if child.await.unwrap() {
            assert!(
                NAMES.iter().all(|name| std::env::var(name) == std::env::var(PORT)),
                "the environment has them"
            );
            for way in WAYS {
                let told = way
                    .send(
                        &GuestRequest::get(proxy.origin()),
                        &json!({"http": [proxy.origin()], "private_network": true}),
                    )
                    .await;
                assert!(told.is_answer(), "{way:?}: {told:?}");
            }
            assert_eq!(proxy.connections(), WAYS.len());
        } else {
            assert_eq!(proxy.connections(), 0, "the other process has asked the proxy");
        }
    });
}
