//! What a guest finds of a system: nothing, or an error for each try.

use serde_json::{Value, json};
use wasip2::{
    cli::{environment, stdin::get_stdin},
    filesystem::preopens,
    sockets::{
        instance_network, ip_name_lookup,
        network::{IpAddressFamily, IpSocketAddress, Ipv4SocketAddress},
        tcp_create_socket, udp_create_socket,
    },
};

/// Without trying to open anything.
pub(crate) fn look() -> Value {
    json!({
        "environment": environment::get_environment(),
        "arguments": environment::get_arguments(),
        "initial_folder": environment::initial_cwd(),
        "folders": preopens::get_directories().len(),
        "lookup": told(ip_name_lookup::resolve_addresses(&instance_network::instance_network(), "localhost")),
    })
}

/// The error of each try, or `allowed`.
pub(crate) fn open(port: u16) -> Value {
    let network = instance_network::instance_network();
    let loopback = IpSocketAddress::Ipv4(Ipv4SocketAddress { port, address: (127, 0, 0, 1) });
    let any = IpSocketAddress::Ipv4(Ipv4SocketAddress { port: 0, address: (127, 0, 0, 1) });
    let tcp = || tcp_create_socket::create_tcp_socket(IpAddressFamily::Ipv4);
    let udp = || udp_create_socket::create_udp_socket(IpAddressFamily::Ipv4);
    json!({
        "connect": told(tcp().and_then(|socket| {
            socket.start_connect(&network, loopback)?;
            socket.subscribe().block();
            socket.finish_connect().map(drop)
        })),
        "listen": told(tcp().and_then(|socket| {
            socket.start_bind(&network, any)?;
            socket.finish_bind()?;
            socket.start_listen()?;
            socket.finish_listen()
        })),
        "datagram": told(udp().and_then(|socket| {
            socket.start_bind(&network, any)?;
            socket.finish_bind()?;
            socket.stream(Some(loopback)).map(drop)
        })),
        "stdin": told(get_stdin().blocking_read(1)),
    })
}

fn told<T, E: std::fmt::Debug>(tried: Result<T, E>) -> String {
    tried.map_or_else(|error| format!("{error:?}"), |_| "allowed".to_owned())
}
