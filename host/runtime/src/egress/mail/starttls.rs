//! The plain part of a connection before it is encrypted (RFC 3207).
//!
//! Not left to the mail crate, for two reasons: the connection is encrypted by the one TLS configuration of the host, and
//! nothing that arrived in plain text may be taken for a reply of the encrypted part ("NO STARTTLS", USENIX Security 2021).

use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
};

use super::{MailFault, Reply, metered::REPLY_BYTES, told};
use crate::secrets::Redaction;

/// RFC 5321, 4.5.3.1.5 allows 512 bytes a line.
const LINE_BYTES: u64 = 2048;

/// Greets, and asks for TLS. The stream is then ready for the handshake.
pub(super) async fn ask(stream: TcpStream, hello: &str, login: &Redaction) -> Result<TcpStream, MailFault> {
    let mut stream = BufReader::new(stream);
    expect(&mut stream, 220, login).await?;
    let offered = command(&mut stream, &format!("EHLO {hello}\r\n"), 250, login).await?;
    if !offered.iter().any(|line| line.trim().eq_ignore_ascii_case("STARTTLS")) {
        let message = "the server does not offer STARTTLS, and nothing is sent without TLS (`tls` in [smtp])";
        return Err(MailFault::Transient(Reply::connection(message)));
    }
    command(&mut stream, "STARTTLS\r\n", 220, login).await?;
    if !stream.buffer().is_empty() {
        let message = "the server, or somebody on the way, sent more in plain text than it was asked for";
        return Err(MailFault::Transient(Reply::connection(message)));
    }
    Ok(stream.into_inner())
}

async fn command(
    stream: &mut BufReader<TcpStream>,
    line: &str,
    code: u16,
    login: &Redaction,
) -> Result<Vec<String>, MailFault> {
    stream.write_all(line.as_bytes()).await.map_err(|error| broken(&error))?;
    expect(stream, code, login).await
}

/// Reads a reply, and gives its lines without their codes if it is the one expected.
async fn expect(
    stream: &mut BufReader<TcpStream>,
    expected: u16,
    login: &Redaction,
) -> Result<Vec<String>, MailFault> {
    let mut lines = Vec::new();
    let mut size_bytes = 0;
    loop {
        let mut line = Vec::new();
        let read = (&mut *stream).take(LINE_BYTES).read_until(b'\n', &mut line).await;
        read.map_err(|error| broken(&error))?;
        size_bytes += line.len();
        let text = String::from_utf8_lossy(&line);
        let text = text.trim_end();
        let code = text.get(..3).and_then(|code| code.parse::<u16>().ok()).filter(|_| line.ends_with(b"\n"));
        let Some(code) = code.filter(|_| size_bytes <= REPLY_BYTES) else {
            return Err(MailFault::Transient(Reply::connection("the server does not speak SMTP")));
        };
        lines.push(text.get(4..).unwrap_or_default().to_owned());
        if text.as_bytes().get(3) == Some(&b'-') {
            continue;
        }
        return if code == expected {
            Ok(lines)
        } else {
            Err(MailFault::of(code, told(&lines.join(" "), login)))
        };
    }
}

fn broken(error: &std::io::Error) -> MailFault {
    MailFault::Transient(Reply::connection(format!("the connection broke: {}", error.kind())))
}
